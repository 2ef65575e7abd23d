"""The settings of an update, and what is to be said of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from crossrec.errors import InputError


@dataclass(frozen=True)
class UpdateConfig:
    """Settings of an update."""

    epochs: int = 3
    """Epochs at most, in every phase of the model (ours)."""
    lr: float | None = None
    """Learning rate; None: half of what every phase of the run has (ours)."""
    replay: float = 1.0
    """Users without new events who are trained along, for every one with new events: drawn at random (ours)."""
    held: float = 0.2
    """Share of the target's new events that is held out, the newest: the earlier half chooses the epoch, the later one is
    the guard's (ours)."""
    least: int = 20
    """Held-out users that the guard must have to judge (ours)."""
    drop: float = 0.1
    """The new version is refused where its metric, on the held-out newest events or on the last known ones of known users, is
    lower by more than this share and one standard error of the difference (ours)."""
    drift: float = 0.1
    """It is refused where the mean cosine distance of known items' vectors, before and after, is larger (ours)."""
    kept: float = 0.5
    """It is refused where fewer than this share of the ten best known items of known users is kept (ours)."""
    sample: int = 500
    """Known users whose lists are compared (ours)."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.replay < 0 or not 0 < self.held < 1 or self.sample < 1:
            raise InputError("epochs and sample are at least 1, replay at least 0, and held a share between 0 and 1.")


@dataclass(frozen=True)
class Held:
    """What events say of the old model and of the new one, in one domain."""

    domain: str
    events: str
    """``newest``: the first event of every user in the period that is held out of both. ``known``: the last event of known
    users before the update; whether a model was trained on it depends on the run's split and on the replay."""
    users: int
    metric: str
    before: float
    """The old model as it is served: an item that it does not know is missed."""
    after: float
    error: float
    """Standard error of the difference, from pairs."""


@dataclass(frozen=True)
class Drift:
    """How far what was known has moved, in one domain."""

    domain: str
    vectors: float | None
    """Mean cosine distance of the known items' vectors; None where they cannot be compared."""
    kept: float
    """Mean share of a user's ten best known items that are still among the ten best."""
    users: int
    """Whose lists were compared, by their histories from before the update."""


@dataclass(frozen=True)
class Report:
    """What an update did."""

    base: str
    """The version that it began with; "" is the run itself."""
    version: str = ""
    """The version that was made; "" where none was."""
    folder: str | None = None
    """Where it is; None where nothing was kept."""
    switched: bool = False
    """Whether it is served from now on."""
    events: Mapping[str, int] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    items: Mapping[str, int] = field(default_factory=dict)
    """New items of every domain."""
    held: tuple[Held, ...] = ()
    drift: tuple[Drift, ...] = ()
    refused: tuple[str, ...] = ()
    """What the guards have against it."""
    removed: tuple[str, ...] = ()
    """Old versions that were removed."""
    epochs: int = 0
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class UpdateRefused(RuntimeError):
    """The guards have something against a new version: it was not kept."""

    def __init__(self, report: Report) -> None:
        super().__init__(" ".join(report.refused))
        self.report = report
