"""A plug-in and the frozen model that it looks into: a run that is given, or one that is trained first."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossrec.data.batches import TrainingRows
from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.plugins.base import Plugin
from crossrec.recommender import Recommender


@dataclass(frozen=True)
class Plugged:
    """A plug-in beside the fitted model that it looks into."""

    plugin: Plugin
    frozen: Recommender
    recipe: Mapping[str, Any]
    """What is asked of both, as ``config.json`` says it."""

    def prepared(self, split: Split, rows: TrainingRows, domains: Sequence[str]) -> dict[str, Plugin]:
        """A plug-in for every domain that the model it looks into knows."""
        found = {}
        for domain in domains:
            if domain in self.frozen.model.serves():
                found[domain] = copy.deepcopy(self.plugin)
                found[domain].prepare(split, rows, domain, self.frozen.model)
        return found


def check_frozen(frozen: Recommender, split: Split) -> None:
    """Raise InputError unless the frozen model was trained on the very same data, split and target: else it may know what is
    held out here.
    """
    recipe = frozen.recipe
    for what, theirs, ours in (
        ("data", recipe["data_hash"], split.data.hash),
        ("split", dict(recipe["split"]), dict(split.spec)),
        ("target", recipe["target"], split.target),
    ):
        if theirs != ours:
            raise InputError(
                f"The run that the plug-in is to look into was trained on another {what} ({theirs}) than this one ({ours}): "
                "it may know what is held out here. Train one on this split, or leave it out and one is trained."
            )
