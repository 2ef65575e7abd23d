"""ItemKNN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models.itemknn import ItemKNN
from crossrec.testing import ModelTests
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit


class TestItemKNN(ModelTests):
    model = ItemKNN(neighbours=8, shrink=0.0, agg="last")
    least = 0.9


class TestMerged(ModelTests):
    model = ItemKNN(domains="merged")
    least = 0.6


@pytest.fixture(scope="module")
def split() -> Split:
    return LeaveLastOut("games").apply(tiny_world())


def dense_scores(
    split: Split, *, domains: list[str], neighbours: int, shrink: float, alpha: float, agg: str
) -> np.ndarray:
    """Equations 3.5 and 3.6 of the specs of DDGHM with dense arrays: scores of every user's whole history."""
    data = split.data
    inside = np.isin(np.arange(data.catalogue.num_ids), [i for name in domains for i in data.catalogue.block(name)])
    incidence = np.zeros((len(split.train), data.catalogue.num_ids))
    for row, (start, stop) in enumerate(zip(split.train.start_N, split.train.stop_N, strict=True)):
        incidence[row, split.events.item_E[start:stop]] = 1
    together, count = incidence.T @ incidence, incidence.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        similar = together / np.outer((count + shrink) ** alpha, (count + shrink) ** (1 - alpha))
    similar = np.nan_to_num(similar)
    np.fill_diagonal(similar, 0)
    block = data.catalogue.block("games")
    similar = similar[:, block.start : block.stop]
    for row in similar:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0
    scores = np.zeros((data.num_users, len(block)))
    for user in range(data.num_users):
        known = [i for i in data.item_E[data.offset_U1[user] : data.offset_U1[user + 1]] if inside[i]]
        for item in known[-1:] if agg == "last" else known:
            scores[user] += similar[item]
    return scores


@pytest.mark.parametrize("agg", ["sum", "last"])
@pytest.mark.parametrize("domains", ["target", "merged"])
@pytest.mark.parametrize(("shrink", "alpha"), [(0.0, 0.5), (5.0, 0.75)])
def test_scores(split: Split, domains: str, agg: str, shrink: float, alpha: float) -> None:
    settings: dict[str, Any] = {"neighbours": 5, "shrink": shrink, "alpha": alpha, "agg": agg}
    found = fit(ItemKNN(domains=domains, **settings), split)
    users = found.data.users.ids(np.arange(found.data.num_users)).to_pylist()
    items = [f"games{i}" for i in range(20)]
    expected = dense_scores(split, domains=["toys", "games"] if domains == "merged" else ["games"], **settings)
    np.testing.assert_allclose(found.score(users, items), expected, atol=1e-5)


def test_merged_learns_what_goes_together_across_domains() -> None:
    """Who has toy 0 has game 2, always; a stranger with toy 0 alone is recommended game 2."""
    histories = [
        [("toys", 0, 0), ("games", 2, 1), ("games", 3 + u % 3, 2), ("games", 6, 3), ("games", 7, 4)] for u in range(6)
    ]
    histories += [
        [("toys", 1, 0), ("games", 1, 1), ("games", 4, 2), ("games", 6, 3), ("games", 7, 4)] for _ in range(6)
    ]
    split = LeaveLastOut("games").apply(world_of(histories, {"toys": 2, "games": 8}))
    merged = fit(ItemKNN(domains="merged"), split).recommend(histories=[{"toys": ["toys0"]}], k=1)
    assert merged.column("item").to_pylist() == ["games2"]
