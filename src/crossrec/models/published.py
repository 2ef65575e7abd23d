"""Recipes of training that several published models share: what their ``authors`` presets say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PDREC_TRAINING: Mapping[str, Any] = {
    "loss": "bce",
    "negatives": 1,
    "lr": 5e-3,
    "betas": (0.9, 0.98),
    "decay": 0.99,
    "batch": 128,
    "copies": 3,
    "first": "domain",
    "first_eval": 51,
    "eval_every": 1,
    "min_epochs": 100,
    "patience": 10,
    "epochs": 1000,
}
"""The backbones of PDRec (specs of PDRec, sections 1.3 and 2)."""

REALHNS_TRAINING: Mapping[str, Any] = {
    "loss": "bce",
    "negatives": 20,
    "lr": 5e-4,
    "betas": (0.9, 0.98),
    "decay": 0.99,
    "batch": 128,
    "first": "domain",
    "first_eval": 20,
    "eval_every": 1,
    "patience": 11,
    "epochs": 1000,
}
"""The base and the samplers of RealHNS (specs of RealHNS, sections 1.4, 3 and 6)."""
