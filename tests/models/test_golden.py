"""The first 20 steps of every trained model, as recorded in ``golden/``: a refactor must repeat them.

Where a change is meant to move them, record them anew and look at the difference before it is committed:

    CROSSREC_RECORD=1 python -m pytest tests/models/test_golden.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from crossrec.testing.law import law_split
from crossrec.train.fit import fit

SMALL = {"dim": 8, "max_len": 20, "dropout": 0.2, "scale": 5.0}
FUSED = {**SMALL, "source_epochs": 6}
MERGED = {"domains": "merged", "guard": "none"}
CURVES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "bprmf": ("bprmf", "default", {"dim": 8, "l2": 1e-4}, {}),
    "sasrec": ("sasrec", "default", SMALL, {}),
    "sasrec-merged": ("sasrec", "default", SMALL | MERGED, {}),
    "sasrec-authors": ("sasrec", "authors", SMALL, {}),
    "gru4rec": ("gru4rec", "default", SMALL, {}),
    "gru4rec-authors": ("gru4rec", "authors", SMALL, {}),
    "cl4srec": ("cl4srec", "default", SMALL, {}),
    "twotower": ("twotower", "default", FUSED, {"epochs": 7}),
    "twotower-authors": ("twotower", "authors", FUSED, {"epochs": 7}),
    "dasl": ("dasl", "default", FUSED, {"epochs": 7}),
    "dasl-authors": ("dasl", "authors", FUSED, {"epochs": 7}),
    "tdiffrec": ("tdiffrec", "default", {"hidden": 8}, {}),
    "tidiffrec": ("tidiffrec", "default", {"hidden": 8}, {}),
    "tidiffrec-merged": ("tidiffrec", "default", {"hidden": 8, "domains": "merged"}, {}),
    "tidiffrec-authors": ("tidiffrec", "authors", {"hidden": 8}, {}),
    "ddghm": ("ddghm", "default", {"dim": 8, "max_len": 20}, {}),
    "ddghm-paper": ("ddghm", "paper", {"dim": 8, "steps": 2}, {}),
    "ddghm-l": ("ddghm", "paper-l", {"dim": 8}, {}),
    "ddghm-g": ("ddghm", "paper-g", {"dim": 8}, {}),
    "ddghm-ga": ("ddghm", "paper-ga", {"dim": 8}, {}),
    "pinet": ("pinet", "default", {"dim": 8, "max_len": 20}, {}),
    "pinet-paper": ("pinet", "paper", {"dim": 8, "max_len": 20}, {}),
    "c2dsr": ("c2dsr", "default", {"dim": 8, "max_len": 20}, {}),
    "c2dsr-paper": ("c2dsr", "paper", {"dim": 8}, {}),
    "dagcn": ("dagcn", "default", {"dim": 8, "max_len": 20}, {}),
    "dagcn-released": ("dagcn", "default", {"dim": 8, "variant": "released"}, {}),
    "datmdi": ("datmdi", "default", {"dim": 8, "max_len": 20}, {}),
    "diagae": ("diagae", "default", {"dim": 8, "hidden": (8, 4), "pretrain_epochs": 6}, {"epochs": 14}),
    "ncfmlp": ("ncfmlp", "default", {"dim": 8}, {}),
    "conet": ("conet", "default", {"dim": 8}, {}),
    "ddtcdr": ("ddtcdr", "default", {"dim": 8}, {}),
    "darec": ("darec", "default", {"code": 8, "decoder": 8, "pretrain_epochs": 6}, {"epochs": 8}),
    "dasl-ctr": ("dasl-ctr", "default", {"dim": 8, "hidden": 8, "layers": (12, 6)}, {}),
    "disencdr": ("disencdr", "default", {"dim": 8}, {}),
    "etl": ("etl", "default", {"dim": 8}, {}),
    "herec": ("herec", "default", {"dim": 8, "factors": 8}, {}),
    "lightgcn": ("lightgcn", "default", {"dim": 8}, {}),
    "lightgcn-merged": ("lightgcn", "default", {"dim": 8, "domains": "merged"}, {}),
    "ngcf": ("ngcf", "default", {"dim": 8, "layers": (8, 8)}, {}),
    "bitgcf": ("bitgcf", "default", {"dim": 8}, {}),
    "gcmc": ("gcmc", "default", {"dim": 8, "hidden": 8}, {}),
    "biasmf": ("biasmf", "default", {"dim": 8}, {}),
    "srgnn": ("srgnn", "default", {"dim": 8, "max_len": 20}, {}),
    "srgnn-paper": ("srgnn", "paper", {"dim": 8}, {}),
    "bert4rec": ("bert4rec", "default", {"dim": 8, "max_len": 20, "last_only": 0.5}, {}),
    "bert4rec-merged": ("bert4rec", "default", {"dim": 8, "max_len": 20, "domains": "merged"}, {}),
    "psjnet": ("psjnet", "default", {"dim": 8, "max_len": 20}, {}),
}
"""Name of the file: model, preset, settings of the model and of its training. A step is an epoch of one batch."""
TRAINING = {"epochs": 20, "batch": 64, "negatives": 16, "lr": 1e-3, "first_eval": 20, "seed": 7}


@pytest.mark.parametrize("name", CURVES)
def test_first_steps(name: str) -> None:
    model, preset, settings, training = CURVES[name]
    losses: list[float] = []
    fit(
        model,
        law_split(),
        preset=preset,
        model_settings=settings,
        log=lambda record: losses.extend([record["loss"]] if "loss" in record else []),
        **{**TRAINING, **training},
    )
    path = Path(__file__).parent / "golden" / f"{name}.json"
    if os.environ.get("CROSSREC_RECORD"):
        path.write_text(json.dumps({"loss": [round(loss, 7) for loss in losses]}, indent=1) + "\n")
    assert len(losses) == 20
    assert losses == pytest.approx(json.loads(path.read_text())["loss"], abs=1e-6, rel=1e-6)
