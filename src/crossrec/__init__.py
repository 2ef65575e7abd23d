"""crossrec: learn from what the same people do in several places, and recommend better in each.

Everything here is loaded when it is first used, so that ``import crossrec`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "AuthorsLeaveLastOut": "crossrec.data.splits",
    "BPRMF": "crossrec.models.bprmf",
    "CL4SRec": "crossrec.models.cl4srec",
    "Dataset": "crossrec.data.dataset",
    "Filters": "crossrec.data.filters",
    "GRU4Rec": "crossrec.models.gru4rec",
    "InputError": "crossrec.errors",
    "ItemKNN": "crossrec.models.itemknn",
    "LeaveLastOut": "crossrec.data.splits",
    "Model": "crossrec.models.base",
    "Pop": "crossrec.models.pop",
    "Recommender": "crossrec.recommender",
    "Ranking": "crossrec.evaluation.protocols",
    "SASRec": "crossrec.models.sasrec",
    "Sampler": "crossrec.samplers.base",
    "TwoTower": "crossrec.models.twotower",
    "World": "crossrec.data.worlds",
    "compare": "crossrec.experiments.compare",
    "describe": "crossrec.data.statistics",
    "evaluate": "crossrec.evaluation.evaluate",
    "fit": "crossrec.train.fit",
    "shuffle_domain": "crossrec.data.simulate",
    "simulate": "crossrec.data.simulate",
    "write_report": "crossrec.experiments.report",
}
"""Where each public name lives, a line each."""

__all__ = ["__version__", *sorted(_PLACES)]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'crossrec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
