"""A run that is small enough to be served in tests: the law's world with titles, one of which is no harmless text."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models.sasrec import SASRec
from crossrec.testing.law import SIZES, TARGET, law_frames
from crossrec.train.fit import fit

HOSTILE = "<script>alert('title')</script>"
"""The title of the target's first item."""


@functools.cache
def titled_split() -> Split:
    """The law's split, its items with a title and one of three categories."""
    rows = [(domain, number) for domain, size in SIZES.items() for number in range(size)]
    items: dict[str, Any] = {
        "item_id": [f"{domain}{number}" for domain, number in rows],
        "title": [HOSTILE if row == (TARGET, 0) else f"Title of {row[0]} {row[1]}" for row in rows],
        "category": [f"kind {number % 3}" for _, number in rows],
    }
    return LeaveLastOut(TARGET).apply(Dataset.from_frames(law_frames(), time="timestamp", items=items))


def small_run(folder: Path, seed: int = 1) -> Path:
    """A run folder of a merged SASRec that was hardly trained: 60 users, 30 toys, 20 games."""
    fit(SASRec(dim=8, max_len=20, domains="merged"), titled_split(), epochs=1, seed=seed).save(folder)
    return folder
