"""Validation: the targets of a run ranked on their validation parts, and the one value that the epoch is chosen by."""

from __future__ import annotations

from typing import Any

import numpy as np

from crossrec.data.batches import Batcher
from crossrec.data.splits import Split
from crossrec.evaluation.metrics import per_user
from crossrec.evaluation.protocols import Protocol
from crossrec.models.base import Model, Phase


class Validation:
    """Ranks the validation events of the targets that a phase is about."""

    def __init__(self, split: Split, metric: str, protocol: str, seed: int) -> None:
        """Raises InputError for an unknown metric or protocol."""
        per_user(metric, np.ones(1), np.ones(1, dtype=np.int64))
        self.split = split
        self.protocols = {name: Protocol(protocol, split.held(name).valid, seed) for name in split.targets}
        self.batchers: dict[str, Batcher] = {}

    def begin(self, phase: Phase, model: Model, batcher: Batcher) -> None:
        """Called where a phase begins. ``batcher``: the phase's own, of the split's events.

        A phase is validated in the targets whose next items it trains, one that chooses in all of them.
        """
        about = self.split.targets if phase.choices else (phase.domain, *phase.also)
        self.batchers = {}
        for name, protocol in self.protocols.items():
            if name in about:
                events = protocol.part.events
                same = events is self.split.events
                self.batchers[name] = batcher if same else Batcher(events, model.views(), batcher.device)

    def rank(self, model: Model, metric: str, draw: int) -> tuple[float, dict[str, Any]]:
        """The value to choose by, which is the mean of the metric over the targets, and what a record says.

        ``valid`` are the figures of the run's own target. Where several are ranked, ``valid_further`` are those of the
        others, by domain, and ``valid_mean`` is the value.
        """
        figures: dict[str, dict[str, float]] = {}
        for name, batcher in self.batchers.items():
            ranking = self.protocols[name].rank(model, batcher, draw=draw)
            value = float(per_user(metric, ranking.rank_N, ranking.candidates_N).mean())
            figures[name] = ranking.summary() | {metric: value}
        mean = sum(figure[metric] for figure in figures.values()) / len(figures)
        record: dict[str, Any] = {"valid": figures.pop(self.split.target)}
        return mean, record | ({"valid_further": figures, "valid_mean": mean} if figures else {})
