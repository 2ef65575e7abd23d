"""What is in a dataset: sizes, overlap of the domains, what filters would leave, how much of the future is unseen."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from crossrec.data.arrow import is_valid
from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.filters import Filters
from crossrec.data.sorting import later_repeats
from crossrec.data.subset import user_of

Table = dict[str, Any]
HELD_OUT = 2
"""A user's last events of a domain that leave-last-out keeps from training: validation and test."""


def describe(data: Dataset, target: str | None = None) -> Table:
    """Figures of a dataset, ready for JSON.

    Args:
        data: Any dataset.
        target: The domain whose last events are looked at under ``held_out``; every domain if None.

    Returns:
        ``users``, ``interactions``, ``hash``, ``order`` (what orders the histories); ``domains``: figures of each;
        ``overlap`` of users; ``shared_items``: own item ids that occur in several domains; ``filters``: what dry runs
        of some filters would leave and drop; ``held_out``; ``notes`` of the card.
    """
    targets = data.domains if target is None else (target,)
    parts = _parts(data)
    for name in targets:
        data.catalogue.block(name)
    return {
        "users": data.num_users,
        "interactions": data.num_interactions,
        "hash": data.hash,
        "order": data.card.get("order"),
        "domains": {name: _domain(data, name, *part) for name, part in parts.items()},
        "overlap": overlap(data),
        "shared_items": shared_items(data),
        "filters": dry_runs(data),
        "held_out": {name: _held_out(data, name, *parts[name]) for name in targets},
        "notes": list(data.card.get("notes", [])),
    }


def _parts(data: Dataset) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """(rows, their users) of every domain, in the order of the histories; N interactions in the domain."""
    user_E, domain_E = user_of(data), data.catalogue.domain_of(data.item_E)
    rows = {name: np.flatnonzero(domain_E == at) for at, name in enumerate(data.domains)}
    return {name: (row_N, user_E[row_N]) for name, row_N in rows.items()}


def _domain(data: Dataset, name: str, row_N: npt.NDArray[Any], user_N: npt.NDArray[Any]) -> Table:
    lengths = np.bincount(user_N, minlength=data.num_users)
    lengths = lengths[lengths > 0]
    items = len(data.items[name])
    time_N = None if data.time_E is None else np.asarray(data.time_E)[row_N]
    timed = time_N is not None and len(time_N) > 0 and time_N[0] != UNKNOWN_TIME
    return {
        "users": len(lengths),
        "items": items,
        "interactions": len(row_N),
        "density": len(row_N) / (len(lengths) * items),
        "history": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "mean": float(lengths.mean()),
            "p95": float(np.percentile(lengths, 95)),
            "max": int(lengths.max()),
        },
        "time": _span(time_N) if timed and time_N is not None else None,
        "ties": _ties(user_N, time_N) if timed and time_N is not None else None,
        "repeated": int(later_repeats([user_N, np.asarray(data.item_E)[row_N]]).sum()),
        "duplicates": data.card.get("domains", {}).get(name, {}).get("duplicates"),
    }


def _span(time_N: npt.NDArray[Any]) -> Table:
    first, last = (str(np.datetime64(int(time), "s").astype("datetime64[D]")) for time in (time_N.min(), time_N.max()))
    return {"from": first, "to": last}


def _ties(user_N: npt.NDArray[Any], time_N: npt.NDArray[Any]) -> float | None:
    """Share of a user's consecutive interactions in the domain that have the same time; None where there are none."""
    follows = user_N[1:] == user_N[:-1]
    return float((time_N[1:] == time_N[:-1])[follows].mean()) if follows.any() else None


def overlap(data: Dataset) -> Table:
    """Users shared by ``pairs`` (and the share of each domain's users), in ``every`` domain, in ``several``, in ``one``."""
    present_DU = np.stack([count > 0 for count in data.counts().values()])
    users_D = present_DU.sum(1)
    pairs = []
    for a, b in combinations(range(len(data.domains)), 2):
        both = int((present_DU[a] & present_DU[b]).sum())
        names = (data.domains[a], data.domains[b])
        pairs.append(
            {
                "domains": list(names),
                "users": both,
                "share": {n: both / int(users_D[d]) for n, d in zip(names, (a, b), strict=True)},
            }
        )
    per_user = present_DU.sum(0)
    return {
        "pairs": pairs,
        "every": int((per_user == len(data.domains)).sum()),
        "several": int((per_user > 1).sum()),
        "one": int((per_user == 1).sum()),
    }


def shared_items(data: Dataset) -> Table:
    """Own item ids that occur in several domains (they are different items in each): how many in all, and per pair."""
    pairs, distinct = [], 0
    for at, name in enumerate(data.domains):
        earlier_V = np.zeros(len(data.items[name]), np.int32)
        for other in data.domains[:at]:
            in_both = is_valid(pc.index_in(data.items[name].text, value_set=data.items[other].text))
            earlier_V += in_both
            if in_both.any():
                pairs.append({"domains": [other, name], "items": int(in_both.sum())})
        distinct += int((earlier_V == 1).sum())
    return {"items": distinct, "pairs": pairs}


def dry_runs(data: Dataset) -> list[Table]:
    """What some filters, each by itself, would leave and drop in every domain."""
    trials = [(f"{core}-core", Filters(user_core=core, item_core=core)) for core in (3, 5, 10)]
    trials.insert(0, ("no repeats", Filters(earliest_of_repeats=True)))
    if len(data.domains) > 2:
        trials.insert(0, ("users of several domains", Filters(overlap_only=2)))
    if len(data.domains) > 1:
        trials.insert(0, ("users of every domain", Filters(overlap_only=True)))
    full = Filters().run(data).sizes()
    table = []
    for name, filters in trials:
        left = filters.run(data).sizes()
        dropped = {
            domain: {what: full[domain][what] - size for what, size in sizes.items()} for domain, sizes in left.items()
        }
        table.append({"name": name, "set": filters.chosen(), "left": left, "dropped": dropped})
    return table


def _held_out(data: Dataset, name: str, row_N: npt.NDArray[Any], user_N: npt.NDArray[Any]) -> Table:
    """Leave-last-out in one domain: test users, and the share whose last item no training interaction has.

    A user with more than ``HELD_OUT`` interactions in the domain is a test user: their last two are not trained on.
    All interactions of the other users are.
    """
    lengths = np.bincount(user_N, minlength=data.num_users)
    to_end_N = np.cumsum(lengths)[user_N] - np.arange(len(user_N))
    tested_N = lengths[user_N] > HELD_OUT
    trained = np.zeros(data.catalogue.num_ids, bool)
    item_N = np.asarray(data.item_E)[row_N]
    trained[item_N[(to_end_N > HELD_OUT) | ~tested_N]] = True
    last_N = (to_end_N == 1) & tested_N
    unseen = ~trained[item_N[last_N]]
    return {"users": int(last_N.sum()), "unseen": float(unseen.mean()) if len(unseen) else None}
