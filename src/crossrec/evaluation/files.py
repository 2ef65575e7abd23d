"""Where a run keeps its per-user results."""

from __future__ import annotations

from pathlib import Path

from crossrec.runs import RESULTS


def protocol_name(protocol: str) -> str:
    """The protocol as file names have it: ``sampled:99`` is ``sampled-99``."""
    return protocol.replace(":", "-")


def results_file(run: str | Path, protocol: str, further: str | None = None) -> Path:
    """``results/<protocol>.parquet`` of a run's own target; a ``further`` one's are in ``results/<target>/``."""
    folder = Path(run, RESULTS) if further is None else Path(run, RESULTS, further)
    return folder / f"{protocol_name(protocol)}.parquet"
