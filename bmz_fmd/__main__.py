"""``python -m bmz_fmd`` and the console command ``bmz-fmd``."""

from bmz_fmd.cli import main

if __name__ == "__main__":
    main()
