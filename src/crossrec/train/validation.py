"""Validation: the targets of a run measured on their validation parts, and the one value that the epoch is chosen by."""

from __future__ import annotations

from typing import Any

from crossrec.data.batches import Batcher
from crossrec.data.scale import Scale
from crossrec.data.splits import Split
from crossrec.evaluation.protocols import check_metric, open_protocol
from crossrec.models.base import Model, Phase
from crossrec.train.settings import TrainConfig


class Validation:
    """Measures the validation events of the targets that a phase is about."""

    def __init__(self, split: Split, config: TrainConfig, seed: int) -> None:
        """Raises InputError for an unknown protocol, and for a metric that it does not give."""
        check_metric(config.protocol, config.metric)
        self.split = split
        scale, offset = Scale.of(config.rating_scale), config.rating_offset or 0.0
        self.protocols = {
            name: open_protocol(config.protocol, split.held(name).valid, seed, scale, offset) for name in split.targets
        }
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

        ``valid`` are the figures of the run's own target. Where several are measured, ``valid_further`` are those of the
        others, by domain, and ``valid_mean`` is the value.
        """
        figures: dict[str, dict[str, float]] = {}
        for name, batcher in self.batchers.items():
            found = self.protocols[name].measure(model, batcher, draw)
            figures[name] = found.summary() | {metric: found.value(metric)}
        mean = sum(figure[metric] for figure in figures.values()) / len(figures)
        record: dict[str, Any] = {"valid": figures.pop(self.split.target)}
        return mean, record | ({"valid_further": figures, "valid_mean": mean} if figures else {})
