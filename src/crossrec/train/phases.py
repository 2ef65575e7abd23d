"""What learns in a phase. Phases that are done are kept in the run folder, for a run that begins with the very same ones.

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

from crossrec.models.base import Model, Phase
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


def learning(phase: Phase, model: Model) -> list[Tensor]:
    """The parameters that learn in a phase; no others want a gradient from here on."""
    names = tuple(f"{module}." if module else "" for module in phase.modules)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(names))
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def keep(run: Path, number: int, mark: str, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Save how a phase ended: groups ``model`` and ``streams``, under the fingerprint of it and all before."""
    Checkpoint(groups, {"fingerprint": mark}).save(run / FOLDER / str(number))


def take(run: Path, number: int, mark: str) -> Mapping[str, Mapping[str, Tensor]] | None:
    """How a run's phase ended, if it was the same one; None otherwise. Raises InputError where it cannot be read."""
    found = Checkpoint.load(run / FOLDER / str(number))
    return found.groups if found is not None and found.numbers["fingerprint"] == mark else None
