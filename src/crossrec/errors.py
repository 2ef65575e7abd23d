"""The errors that are the user's to mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something given to crossrec cannot be used; the message says where it is, what was found and what would mend it.

    The command line prints the message alone and exits with 2.
    """


class DataError(InputError):
    """A log, a frame or a prepared folder cannot be used."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the closest of the known words, else the list of them: the tail of an error."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known)}."
