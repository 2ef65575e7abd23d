"""Phases that are done: kept in the run folder, and taken over by a run that begins with the very same ones.

Taking over is exact: weights and random streams are those that the phase would have ended with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from crossrec.models.base import Phase
from crossrec.samplers.base import Sampler
from crossrec.train.checkpoint import Checkpoint
from crossrec.train.settings import TrainConfig

FOLDER = "phases"


def fingerprint(facts: Mapping[str, Any], phase: Phase, config: TrainConfig, sampler: Sampler | None) -> str:
    """What decides how a phase ends, beside how it began: 16 hex digits.

    ``facts``: what holds for the whole run (model, data, split, seed, processes).
    """
    drawn = None if sampler is None else {"name": sampler.name, **dataclasses.asdict(sampler.config)}
    told = {"phase": dataclasses.asdict(phase), "train": config.recorded(), "sampler": drawn, **facts}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def keep(run: Path, number: int, mark: str, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Save how a phase ended: groups ``model`` and ``streams``, under the fingerprint of it and all before."""
    Checkpoint(groups, {"fingerprint": mark}).save(run / FOLDER / str(number))


def take(run: Path, number: int, mark: str) -> Mapping[str, Mapping[str, Tensor]] | None:
    """How a run's phase ended, if it was the same one; None otherwise. Raises InputError where it cannot be read."""
    found = Checkpoint.load(run / FOLDER / str(number))
    return found.groups if found is not None and found.numbers["fingerprint"] == mark else None
