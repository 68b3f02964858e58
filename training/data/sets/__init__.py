"""The data sets, a file each with its own options."""
