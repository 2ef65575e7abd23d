"""Splits of the real logs: the populations and counts that the papers' code and the publishers state."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.data.batches import Batcher, TrainingRows, Views
from crossrec.data.dataset import Dataset
from crossrec.data.splits import AuthorsLeaveLastOut, LastMerged, LeaveLastOut, Windows
from crossrec.evaluation import candidates

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def amazon(real_data) -> Dataset:
    return Dataset.from_folder(real_data / "amazon-toy-game")


@pytest.fixture(scope="module")
def kitchen(real_data) -> Dataset:
    return Dataset.from_folder(real_data / "amazon-food-kitchen-abxi")


@pytest.mark.parametrize("target, users, positives", [("toys", 7159, 86_583), ("games", 7614, 57_668)])
def test_the_authors_population_and_positives_on_amazon(amazon, target, users, positives):
    """Specs of RealHNS, 1.2."""
    split = AuthorsLeaveLastOut(target).apply(amazon)
    assert len(split.test) == users
    rows = TrainingRows(Batcher(split.events, Views({"history": (target,)})), split.train, (target,), "domain")
    assert (len(rows), rows.num_positives) == (users, positives)


def test_the_authors_population_on_douban(real_data):
    data = Dataset.from_folder(real_data / "douban-book-music")
    assert len(AuthorsLeaveLastOut("book").apply(data).test) == 10_667


def test_ties_of_a_day_are_not_given_away(kitchen):
    """Days are all that is known: strict ties move events of the other domain only, so the same events are held out."""
    strict, published = (LeaveLastOut("kitchen", ties=ties).apply(kitchen) for ties in ("strict", "order"))
    assert (strict.test.item_N == published.test.item_N).all()
    assert (strict.test.stop_N <= published.test.stop_N).all()
    assert 0.1 < (strict.test.stop_N < published.test.stop_N).mean() < 0.5


@pytest.mark.parametrize("assign", ["user_temporal", "paper"])
def test_two_year_windows_of_food_and_kitchen(kitchen, assign):
    """Consecutive two-year periods with five events in each domain, as the data's publication counted them."""
    split = Windows("food", days=730, min_per_domain=5, assign=assign).apply(kitchen)
    report = split.report
    assert report["windows"] == 5094
    assert kitchen.num_users - report["users_outside"] == 4625
    assert report["items"] == {"food": 10_282, "kitchen": 13_611}
    assert round(report["mean_length"], 1) == 20.6
    assert len(split.train) + len(split.valid) + len(split.test) == 5094
    assert report["leaks"]["target_in_training"] == report["leaks"]["overlap"] == 0
    assert (report["leaks"]["later_training_window"] > 0) == (assign == "paper")
    if assign == "paper":
        assert (report["train"], report["valid"], report["test"]) == (3820, 764, 510)


@pytest.mark.parametrize("ties", ["strict", "order"])
def test_the_last_event_of_the_merged_history_counts_for_one_domain(kitchen, ties):
    """Every user is asked once, of either domain, as in the code of ABXI; its 999 negatives can be drawn for everybody."""
    split = LastMerged("food", also=("kitchen",), ties=ties).apply(kitchen)
    parts = [split.held(name).test for name in split.targets]
    assert [len(part) for part in parts] == [2419, 4725]
    assert sorted([*parts[0].user_N, *parts[1].user_N]) == list(range(kitchen.num_users))
    if ties == "order":
        assert all((part.at_N == kitchen.offset_U1[part.user_N + 1] - 1).all() for part in parts)
        assert (split.train.stop_N == kitchen.offset_U1[1:] - 2).all()
    drawn = candidates.draw(parts[0].take(range(50)), 999, np.random.default_rng(0))
    block = kitchen.catalogue.block("food")
    for user, ids in zip(parts[0].user_N, drawn, strict=False):
        assert len(set(ids)) == 999
        assert set(ids) <= set(block)
        assert not set(ids) & set(kitchen.item_E[kitchen.offset_U1[user] : kitchen.offset_U1[user + 1]])


@pytest.mark.parametrize("known", ["prefix", "pinet"])
def test_windows_of_food_and_kitchen_are_asked_in_both(kitchen, known):
    split = Windows("food", days=730, min_per_domain=5, also=("kitchen",), known=known).apply(kitchen)
    assert [len(split.held(name).test) for name in split.targets] == [455, 455]
    assert (split.leak is None) == (known == "prefix")
    if known == "pinet":
        assert "199 of 469 held-out windows for food, 102 of 469 held-out windows for kitchen" in split.leak
