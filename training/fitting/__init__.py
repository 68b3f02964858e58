"""A training from start to report, for any method."""
