"""The command line ``bmz-fmd``: words only, no logic; a verb a file in ``bmz_fmd.verbs``."""
