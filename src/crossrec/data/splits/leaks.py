"""What evaluation windows share with training: counted for every split by windows. W windows, E events."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossrec.data.splits.parts import Events, Rows
from crossrec.data.vocabulary import Ints

Bools = npt.NDArray[np.bool_]


def leak_report(events: Events, windows: Rows, at_W: Ints, train_W: Bools, held_W: Bools) -> dict[str, float]:
    """Shares of the held-out windows that leak (specs of DDGHM, 2.3).

    Args:
        events: in the split's order.
        windows: all of them, sorted by their start; they may overlap.
        at_W: the event that each window asks for.
        train_W, held_W: which windows train, which are held out.

    Returns ``target_in_training``: the asked event (user, item, time) occurs in a training window;
    ``later_training_window``: the user has a training window that starts later; ``overlap``: the window shares events with
    another window.
    """
    held = np.flatnonzero(held_W)
    train = windows.take(train_W)
    latest_U = np.full(int(windows.user_N.max(initial=0)) + 1, -1)
    np.maximum.at(latest_U, train.user_N, train.start_N)
    return {
        "target_in_training": _share(_asked_in_training(events, windows.user_N[held], at_W[held], train)),
        "later_training_window": _share(latest_U[windows.user_N[held]] > windows.start_N[held]),
        "overlap": _share(_overlapping(windows)[held]),
    }


def _share(true_N: Bools) -> float:
    return float(true_N.mean()) if len(true_N) else 0.0


def _overlapping(windows: Rows) -> Bools:
    reach_W = np.maximum.accumulate(windows.stop_N)
    overlapping_W = np.zeros(len(windows), dtype=bool)
    overlapping_W[1:] |= reach_W[:-1] > windows.start_N[1:]
    overlapping_W[:-1] |= windows.start_N[1:] < windows.stop_N[:-1]
    return overlapping_W


def _asked_in_training(events: Events, user_N: Ints, at_N: Ints, train: Rows) -> Bools:
    inside_E1 = np.zeros(len(events.item_E) + 1, dtype=np.int64)
    np.add.at(inside_E1, train.start_N, 1)
    np.add.at(inside_E1, train.stop_N, -1)
    at_T = np.flatnonzero(np.cumsum(inside_E1)[:-1] > 0)
    user_T = train.user_N[np.searchsorted(train.start_N, at_T, side="right") - 1]
    user, at = np.concatenate([user_N, user_T]), np.concatenate([at_N, at_T])
    pair = np.unique(user * events.catalogue.num_ids + events.item_E[at], return_inverse=True)[1]
    assert events.time_E is not None
    time = np.unique(np.asarray(events.time_E)[at], return_inverse=True)[1]
    event = pair * len(at) + time
    return np.isin(event[: len(at_N)], event[len(at_N) :])
