"""What every package here uses: atomic writing, the run's lock, hashes, the cache, progress, devices."""
