"""A meter that counts nothing: for an engine without HTTP."""

from __future__ import annotations


class Silent:
    """Does nothing with what happens; see :class:`crossrec.serve.keeper.Meter`."""

    def nothing(self, *what: object, **named: object) -> None:
        """Whatever it is told."""

    store_error = fallback = candidates = events = batch = dropped = nothing
