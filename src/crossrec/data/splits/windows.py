"""Sequences cut by period (DDGHM): windows of so many days, each a sequence of its own. W windows, U users, E events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from crossrec.data.dataset import Dataset
from crossrec.data.splits.checks import check_choice, known_times, recorded, targets_of
from crossrec.data.splits.leaks import Bools, leak_report
from crossrec.data.splits.parts import Events, Held, Part, Rows, Split, everything, order_ties
from crossrec.data.splits.pinet import last_of, last_put_last
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError

DAY = 86_400
TRAIN, VALID, TEST = 0, 1, 2
PAPER_SHARES = 0.75, 0.15
"""Windows that train and that validate (DDGHM, 4.1); the rest tests."""
_SHUFFLED = (
    "Windows were shuffled as in the paper: the user of {:.1%} of the held-out windows has a later window that trained the "
    "model (the split's report counts every leak)."
)
_PINET = (
    "As in π-Net, the input is the window without the last event of every domain, so it may hold events that do not come "
    "before the one that is asked for: in {}."
)


@dataclass(frozen=True)
class Windows:
    """Windows of a period, tumbling: each starts at the user's first event that no window holds yet.

    A held-out window asks for its last event of every target, each given all its events before that (the ``prefix``
    protocol). Candidates exclude what the user has anywhere. Which windows train does not depend on the targets. Source:
    specs of DDGHM, section 2.
    """

    name: ClassVar[str] = "windows"
    target: str
    """The domain whose items are asked for."""
    days: float = 730.0
    """Length of the period (DDGHM: 730 for Food & Kitchen, 90 for Movie & Book)."""
    min_per_domain: int = 5
    """A window with fewer events in any of the domains is dropped (DDGHM: 5)."""
    assign: Literal["user_temporal", "paper"] = "user_temporal"
    """``user_temporal``: a user's last window tests, the one before validates, earlier ones train; of two windows the
    first trains, a single one trains. ``paper``: windows are shuffled, 75 / 15 / 10 %; a user's later windows may train."""
    ties: Literal["strict", "order"] = "strict"
    """``strict``: source events of the held-out event's own time are not known yet. ``order``: the published order holds."""
    seed: int = 0
    """Shuffles the windows under ``paper``; unused otherwise."""
    also: tuple[str, ...] = ()
    """Further targets."""
    known: Literal["prefix", "pinet"] = "prefix"
    """``prefix``: the input is what comes before the event that is asked for. ``pinet``: the window without the last event
    of every domain, later ones included (π-Net, MIFN, DA-GCN)."""

    def __post_init__(self) -> None:
        check_choice("assign", self.assign, ("user_temporal", "paper"))
        check_choice("known", self.known, ("prefix", "pinet"))
        if not self.days > 0:
            raise DataError(f"days={self.days!r} is no period: give a number above 0.")
        if self.min_per_domain < 2:
            raise DataError(
                f"min_per_domain={self.min_per_domain!r}: a window needs 2 events, one known and one asked for."
            )

    def apply(self, data: Dataset) -> Split:
        """Split the data. Raises DataError where times are not known, or no window is left to validate or to test."""
        targets = targets_of(data, self.target, self.also)
        time_E = known_times(data, self.name)
        ordered = {name: order_ties(data, name, self.ties) for name in targets}
        events = ordered[self.target]
        cut = tumbling(data.offset_U1, time_E, round(self.days * DAY))
        counts = [
            events.count_before(name)[cut.stop_N] - events.count_before(name)[cut.start_N] for name in data.domains
        ]
        kept_W = np.all([count_W >= self.min_per_domain for count_W in counts], axis=0)
        windows = cut.take(kept_W)
        part_W = _by_time(windows.user_N) if self.assign == "user_temporal" else _shuffled(len(windows), self.seed)
        for part, name in ((TEST, "test"), (VALID, "validate")):
            if not (part_W == part).any():
                raise DataError(
                    f"No window is left to {name}: {len(windows)} of {len(cut)} windows of {self.days:g} days have "
                    f"{self.min_per_domain} events in every domain, of {len(np.unique(windows.user_N))} users. "
                    "Take other days or a smaller min_per_domain."
                )
        at_W = last_of(events, self.target, windows.stop_N)
        leaks = leak_report(events, windows, at_W, part_W == TRAIN, part_W != TRAIN)
        held_W = part_W != TRAIN
        asked = {name: self._asked(name, data, ordered[name], windows.take(held_W)) for name in targets}
        leak = self._leak(leaks, asked)
        held = {name: _parts(each.held, part_W[held_W], leak) for name, each in asked.items()}
        train = windows.take(part_W == TRAIN)
        report = _report(data, events, cut, windows, part_W) | {"leaks": leaks}
        spec, own = recorded(self), held.pop(self.target)
        return Split(data, self.target, own.valid.events, train, own.valid, own.test, spec, leak, report, held)

    def _asked(self, target: str, data: Dataset, events: Events, held: Rows) -> _Asked:
        at_H = last_of(events, target, held.stop_N)
        stop_H, late_H = at_H, None
        if self.known == "pinet":
            events, stop_H, at_H, late_H = last_put_last(events, held, at_H)
        known = everything(data, held.user_N)
        return _Asked(Part("held", target, events, data, held.user_N, held.start_N, stop_H, at_H, known), late_H)

    def _leak(self, leaks: dict[str, float], asked: Mapping[str, _Asked]) -> str | None:
        said = [_SHUFFLED.format(leaks["later_training_window"])] if self.assign == "paper" else []
        late = ", ".join(
            f"{int(each.late_H.sum()):,} of {len(each.late_H):,} held-out windows for {name}"
            for name, each in asked.items()
            if each.late_H is not None
        )
        return " ".join([*said, *([_PINET.format(late)] if late else [])]) or None


class _Asked(NamedTuple):
    """What the H held-out windows ask for in one domain."""

    held: Part
    late_H: Bools | None
    """Which inputs hold an event that does not come before the asked one; None: none does."""


def _parts(held: Part, part_H: npt.NDArray[np.int8], leak: str | None) -> Held:
    """Validation and test."""
    valid, test = (
        replace(held.take(np.flatnonzero(part_H == part)), name=name, leak=leak)
        for name, part in (("valid", VALID), ("test", TEST))
    )
    return Held(valid, test)


def tumbling(offset_U1: Ints, time_E: Ints, seconds: int) -> Rows:
    """Windows sorted by start: from the first event that no window holds, all events less than ``seconds`` later."""
    if not len(time_E):
        return Rows(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))
    low, high = int(time_E.min()), int(time_E.max())
    reach = min(seconds, high - low + 1)
    user_E = np.repeat(np.arange(len(offset_U1) - 1), np.diff(offset_U1))
    key_E = user_E * (high - low + 1 + reach) + (time_E - low)
    start = offset_U1[:-1][np.diff(offset_U1) > 0]
    starts, stops = [], []
    while len(start):
        stop = np.searchsorted(key_E, key_E[start] + reach)
        starts.append(start)
        stops.append(stop)
        start = stop[stop < offset_U1[user_E[start] + 1]]
    order = np.argsort(np.concatenate(starts))
    start_W, stop_W = np.concatenate(starts)[order], np.concatenate(stops)[order]
    return Rows(user_E[start_W], start_W, stop_W)


def _by_time(user_W: Ints) -> npt.NDArray[np.int8]:
    """Part of every window: per user the last tests, the one before validates, where one is left to train."""
    first, count = np.unique(user_W, return_index=True, return_counts=True)[1:]
    after_W = np.repeat(first + count, count) - 1 - np.arange(len(user_W))
    count_W = np.repeat(count, count)
    part_W = np.full(len(user_W), TRAIN, dtype=np.int8)
    part_W[(after_W == 0) & (count_W >= 2)] = TEST
    part_W[(after_W == 1) & (count_W >= 3)] = VALID
    return part_W


def _shuffled(count: int, seed: int) -> npt.NDArray[np.int8]:
    """Part of every window by a shuffle: 75 % rounded down train, 15 % validate, the rest test."""
    num_train, num_valid = int(PAPER_SHARES[0] * count), round(PAPER_SHARES[1] * count)
    part_W = np.full(count, TEST, dtype=np.int8)
    order = np.random.default_rng(seed).permutation(count)
    part_W[order[:num_train]] = TRAIN
    part_W[order[num_train : num_train + num_valid]] = VALID
    return part_W


def _report(data: Dataset, events: Events, cut: Rows, windows: Rows, part_W: npt.NDArray[np.int8]) -> dict[str, Any]:
    inside, trained = _item_mask(events, windows), _item_mask(events, windows.take(part_W == TRAIN))
    blocks = {name: data.catalogue.block(name) for name in data.domains}
    lengths = windows.stop_N - windows.start_N
    return {
        "users": data.num_users,
        "users_outside": data.num_users - len(np.unique(windows.user_N)),
        "windows": len(windows),
        "windows_dropped": len(cut) - len(windows),
        "mean_length": float(lengths.mean()),
        "items": {name: int(inside[b.start : b.stop].sum()) for name, b in blocks.items()},
        "items_never_trained": {name: int((inside & ~trained)[b.start : b.stop].sum()) for name, b in blocks.items()},
        "train": int((part_W == TRAIN).sum()),
        "valid": int((part_W == VALID).sum()),
        "test": int((part_W == TEST).sum()),
    }


def _item_mask(events: Events, rows: Rows) -> npt.NDArray[np.bool_]:
    """Whether an id occurs in the rows (disjoint): (ids,)."""
    edge_E1 = np.zeros(len(events.item_E) + 1, dtype=np.int8)
    edge_E1[rows.start_N] += 1
    edge_E1[rows.stop_N] -= 1
    mask = np.zeros(events.catalogue.num_ids, dtype=bool)
    mask[events.item_E[np.cumsum(edge_E1)[:-1] > 0]] = True
    return mask
