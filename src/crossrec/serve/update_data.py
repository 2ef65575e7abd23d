"""What an update trains on, what it is judged by, and whose lists are compared. U users, E events, T events of the target."""

from __future__ import annotations

import numpy as np

from crossrec.data.grown import Grown
from crossrec.data.splits import GlobalTime, Split
from crossrec.data.subset import user_of
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.evaluation.run import split_of
from crossrec.recommender import Recommender
from crossrec.serve.update_report import UpdateConfig
from crossrec.streams import derive


def held_out(old: Recommender, data: Grown, config: UpdateConfig) -> Split:
    """The newest events of the target are held out: about so many as the share of the new ones, in two parts."""
    target, whole = old.target, data.data
    assert whole.time_E is not None
    block = whole.catalogue.block(target)
    inside_E = (whole.item_E >= block.start) & (whole.item_E < block.stop)
    fresh = int((inside_E & data.fresh_G).sum())
    time_T = np.sort(np.asarray(whole.time_E)[inside_E])[::-1]
    moments = np.unique(time_T)
    count = int(np.ceil(config.held * fresh))
    late = moments[np.searchsorted(moments, time_T[max(count // 2, 1) - 1])] if fresh else moments[-1]
    early = min(time_T[max(count, 2) - 1], moments[max(np.searchsorted(moments, late) - 1, 0)]) if fresh else late
    if not fresh or early >= late:
        raise InputError(
            f"There are {fresh:,} new events in {target!r}, and their newest cannot be held out to judge the update by. Wait "
            "for more events."
        )
    return GlobalTime(target, int(early), int(late)).apply(whole)


def chosen_rows(
    old: Recommender, data: Grown, split: Split, since: int | None, config: UpdateConfig, seed: int
) -> tuple[Ints, dict[str, int]]:
    """Places of the training rows that steps are made on: of users with events that were never trained on, and of a sample
    of the others; and how many of each.
    """
    time_E, user_E = np.asarray(data.data.time_E), user_of(data.data)
    fresh_E = data.fresh_G if since is None else data.fresh_G | (time_E >= since)
    touched_U = np.zeros(data.data.num_users, dtype=bool)
    touched_U[user_E[fresh_E & (time_E < split.spec["valid"])]] = True
    known_U = np.zeros(data.data.num_users, dtype=bool)
    known_U[split_of(old).train.user_N] = True
    touched_N = touched_U[split.train.user_N] | ~known_U[split.train.user_N]
    if not touched_N.any():
        raise InputError("All new events are held out to judge the update by: wait for more of them.")
    others = np.flatnonzero(~touched_N)
    count = min(len(others), int(np.ceil(config.replay * touched_N.sum())))
    drawn = np.random.default_rng(derive(seed, "replay")).choice(others, count, replace=False)
    chosen = np.sort(np.concatenate([np.flatnonzero(touched_N), drawn]))
    return chosen, {"with new events": int(touched_N.sum()), "replayed": count}


def sample(old: Recommender, data: Grown, most: int, seed: int) -> Ints:
    """Known users with a history, those without new events first."""
    fresh_U = np.zeros(data.data.num_users, dtype=bool)
    fresh_U[user_of(data.data)[data.fresh_G]] = True
    user_N = np.flatnonzero(np.diff(old.data.offset_U1) > 0)
    still_N = user_N[~fresh_U[user_N]]
    drawn = still_N if len(still_N) else user_N
    picked = np.random.default_rng(derive(seed, "drift")).choice(drawn, min(most, len(drawn)), replace=False)
    return np.sort(picked)
