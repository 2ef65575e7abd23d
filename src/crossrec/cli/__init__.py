"""The command line: parsing and printing; what is done lives in the other rooms, and is imported by the commands alone."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from crossrec.errors import InputError

DEBUG = "CROSSREC_DEBUG"
"""Environment variable: set to 1, errors come with their traceback."""

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""Environment variable of torch, read when it is imported: large arrays lie on huge pages, which a CPU touches sooner."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always leaves by SystemExit: 0 done, 2 bad input, 1 anything else."""
    os.environ.setdefault(HUGE_PAGES, "1")
    warnings.formatwarning = lambda message, *where, **line: f"{message}\n"
    from crossrec.cli.app import app

    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get(DEBUG, "") not in ("", "0")
    try:
        app([word for word in given if word != "--debug"], prog_name="crossrec")
    except InputError as error:
        _leave(str(error), 2, debug)
    except Exception as error:
        named = type(error).__name__
        _leave(str(error) if named == "TrainingError" else f"{named}: {error} (--debug shows where).", 1, debug)


def _leave(message: str, code: int, debug: bool) -> None:
    """Say what is wrong and leave; bad input is the same for all processes of ``torchrun``, so one of them says it."""
    if debug:
        traceback.print_exc()
    if code != 2 or os.environ.get("RANK", "0") == "0":
        print(f"Error: {message}", file=sys.stderr)
    sys.exit(code)
