"""From a run folder to a bioimage.io model package, and the check of a package in every tool's engine."""
