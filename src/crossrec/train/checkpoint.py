"""Checkpoints: everything that an exact resume needs, as safetensors and JSON; written beside, then renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from crossrec.errors import InputError

FOLDER = "checkpoint"


@dataclass
class Checkpoint:
    """Named groups of tensors (``model``, ``best``, ``optimizer``, ``streams``, ``sampler``) and plain numbers."""

    groups: Mapping[str, Mapping[str, Tensor]]
    numbers: Mapping[str, Any]

    def save(self, run: Path) -> None:
        """Replace the run's checkpoint by this one."""
        fresh, old, final = run / f"{FOLDER}.new", run / f"{FOLDER}.old", run / FOLDER
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, tensors in self.groups.items():
            save_file(
                {key: value.detach().contiguous().cpu() for key, value in tensors.items()},
                fresh / f"{name}.safetensors",
            )
        (fresh / "numbers.json").write_text(json.dumps(self.numbers))
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            final.rename(old)
        fresh.rename(final)
        shutil.rmtree(old, ignore_errors=True)

    @staticmethod
    def remove(run: Path) -> None:
        """Remove the checkpoint of a run that is finished."""
        for name in (FOLDER, f"{FOLDER}.old", f"{FOLDER}.new"):
            shutil.rmtree(run / name, ignore_errors=True)

    @classmethod
    def load(cls, run: Path) -> Checkpoint | None:
        """The run's newest whole checkpoint; None where it has none."""
        for folder in (run / FOLDER, run / f"{FOLDER}.old"):
            if (folder / "numbers.json").is_file():
                try:
                    numbers = json.loads((folder / "numbers.json").read_text())
                    groups = {path.stem: load_file(path) for path in folder.glob("*.safetensors")}
                except Exception as error:
                    raise InputError(
                        f"The checkpoint {folder} cannot be read ({error}). Remove it to start anew."
                    ) from error
                return cls(groups, numbers)
        return None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors (``place.key``)."""
    state = optimizer.state_dict()["state"]
    return {f"{place}.{key}": value for place, values in state.items() for key, value in values.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], lr: float) -> None:
    """Put saved tensors back into an optimiser made with the same settings."""
    whole = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        place, _, key = name.partition(".")
        state.setdefault(int(place), {})[key] = value
    whole["state"] = state
    optimizer.load_state_dict(whole)
    for group in optimizer.param_groups:
        group["lr"] = lr
