"""A model package: built from a run, one kind of file a module, and read again. Importing it loads no torch."""
