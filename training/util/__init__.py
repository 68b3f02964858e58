"""What every package here stands on: whole files or none, locks, hashes, the cache, progress, devices."""
