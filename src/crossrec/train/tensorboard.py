"""The records of a training run for TensorBoard (an extra: ``pip install crossrec[tensorboard]``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossrec.errors import InputError


class Board:
    """Writes loss, seconds and validation metrics of every epoch to an event file; made at the first record.

    An epoch that a resumed run computes again is written again, with the same values.
    """

    def __init__(self, folder: Path) -> None:
        """Raises InputError where TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise InputError("TensorBoard is not installed: pip install 'crossrec[tensorboard]'.") from error
        self._kind, self._folder = SummaryWriter, folder
        self._writer: Any = None

    def __call__(self, record: dict[str, Any]) -> None:
        """One epoch."""
        if self._writer is None:
            self._writer = self._kind(str(self._folder))
        figures: dict[str, float] = {key: record[key] for key in ("loss", "seconds", "choice") if key in record}
        figures |= {f"valid/{key}": value for key, value in record.get("valid", {}).items()}
        for domain, further in record.get("valid_further", {}).items():
            figures |= {f"valid/{domain}/{key}": value for key, value in further.items()}
        figures |= {"valid/mean": record["valid_mean"]} if "valid_mean" in record else {}
        for name, value in figures.items():
            self._writer.add_scalar(f"{record['phase']}/{name}", value, record["epoch"])
        self._writer.flush()
