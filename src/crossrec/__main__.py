"""``python -m crossrec`` is the command ``crossrec``."""

from __future__ import annotations

from crossrec.cli import main

if __name__ == "__main__":
    main()
