"""A meter that counts nothing: for an engine without HTTP."""

from __future__ import annotations


class Silent:
    """Does nothing with what happens; see :class:`crossrec.serve.keeper.Meter`."""

    def store_error(self) -> None:
        """Nothing."""

    def fallback(self, kind: str) -> None:
        """Nothing."""

    def candidates(self, channel: str, count: int) -> None:
        """Nothing."""

    def events(self, new: int, known: int) -> None:
        """Nothing."""

    def batch(self, size: int) -> None:
        """Nothing."""

    def dropped(self, exposures: int) -> None:
        """Nothing."""
