"""One file a verb: each holds ``command``, which reads the words and hands them on."""
