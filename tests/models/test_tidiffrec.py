"""TI-DiffRec."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batcher, TrainingRows
from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models.tdiffrec import TDiffRec
from crossrec.models.tidiffrec import TIDiffRec
from crossrec.testing import ModelTests
from crossrec.testing.worlds import tiny_world, world_of

Rows = Callable[[TDiffRec, Dataset], Tensor]
DAY = 86_400


class TestTIDiffRec(ModelTests):
    model = TIDiffRec(hidden=16)


class TestMerged(ModelTests):
    model = TIDiffRec(hidden=16, domains="merged", equal="order")


def row(rows_of: Rows, *times: int, **settings: object) -> Tensor:
    """The weights of a history of items 0, 1, ... at these times."""
    data = world_of([[("toys", item, time) for item, time in enumerate(times)]], {"toys": len(times)})
    model = TIDiffRec(hidden=2, **settings).build(data.catalogue, "toys").double()
    return rows_of(model, data)[0, 1:]


def close(found: Tensor, *expected: float) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)


def test_weights_by_time(rows_of: Rows) -> None:
    """The worked example of the specs of PDRec, 3.1; only differences of time matter, and they are exact."""
    days = np.array([0, 10, 10, 40])
    for first, unit in ((0, DAY), (1_500_000_000, DAY), (1_700_000_001, 1)):
        close(row(rows_of, *(first + unit * days).tolist()), 0.5, 0.625, 0.625, 1)
    close(row(rows_of, 0, 1, 3, low=0.0, high=2.0), 0, 2 / 3, 2)


@pytest.mark.parametrize("equal, expected", [("max", (1, 1, 1)), ("order", (0.5, 0.75, 1)), ("min", (0.5, 0.5, 0.5))])
def test_all_events_at_one_time(rows_of: Rows, equal: str, expected: tuple[float, ...]) -> None:
    close(row(rows_of, 7, 7, 7, equal=equal), *expected)


@pytest.mark.parametrize("equal, expected", [("max", 1), ("order", 1), ("min", 0.5)])
def test_a_single_event(rows_of: Rows, equal: str, expected: float) -> None:
    close(row(rows_of, 7, equal=equal), expected)


def test_of_an_item_that_occurs_again_the_last_event_counts(rows_of: Rows) -> None:
    data = world_of([[("toys", item, time) for item, time in ((0, 0), (1, 1), (0, 2), (1, 3), (2, 4))]], {"toys": 3})
    model = TIDiffRec(hidden=2).build(data.catalogue, "toys")
    torch.testing.assert_close(rows_of(model, data), torch.tensor([[0, 0.75, 0.875, 1]]))


def test_merged_times_span_both_domains_and_sources_count_half(rows_of: Rows) -> None:
    data = world_of([[("games", 0, 0), ("toys", 0, 10), ("games", 1, 40)]], {"games": 2, "toys": 1})
    model = TIDiffRec(hidden=2, domains="merged").build(data.catalogue, "toys", ["games"])
    torch.testing.assert_close(rows_of(model, data), torch.tensor([[0, 0.625, 0.25, 0.5]]))
    alone = TIDiffRec(hidden=2).build(data.catalogue, "toys", ["games"])
    torch.testing.assert_close(rows_of(alone, data), torch.tensor([[0, 1.0]]))


def half_timed() -> Dataset:
    """Three users: the second has an event without a known time, the third has it in the other domain."""
    histories = [[("toys", 0, 0), ("toys", 1, 10), ("toys", 2, 40)] for _ in range(3)]
    histories[2].insert(1, ("games", 0, UNKNOWN_TIME))
    histories[1][1] = ("toys", 1, UNKNOWN_TIME)
    return world_of(histories, {"games": 1, "toys": 3})


def test_an_unknown_time_means_weights_by_order(rows_of: Rows) -> None:
    data, by_time, by_order = half_timed(), (0.5, 0.625, 1), (0.5, 0.75, 1)
    model = TIDiffRec(hidden=2).build(data.catalogue, "toys", ["games"])
    torch.testing.assert_close(rows_of(model, data)[:, 1:], torch.tensor([by_time, by_order, by_time]))
    merged = TIDiffRec(hidden=2, domains="merged").build(data.catalogue, "toys", ["games"])
    expected = torch.tensor([[*by_time, 0], [*by_order, 0], [0.5, 5 / 6, 1, 1 / 3]])
    torch.testing.assert_close(rows_of(merged, data)[:, 1:], expected)


def test_without_times_it_is_t_diffrec(rows_of: Rows) -> None:
    data = dataclasses.replace(tiny_world(users=9), time_E=None)
    ours, theirs = (kind(hidden=2).build(data.catalogue, "toys") for kind in (TIDiffRec, TDiffRec))
    assert torch.equal(rows_of(ours, data), rows_of(theirs, data))


def whole_split(data: Dataset) -> Split:
    return LeaveLastOut("toys").apply(data)


def test_unknown_times_are_said_once() -> None:
    data = tiny_world(users=9)
    blind = dataclasses.replace(data, time_E=None)
    model = TIDiffRec(hidden=2).build(data.catalogue, "toys", ["games"])
    with pytest.warns(UserWarning, match="9 of 9 training rows hold events without a known time"):
        model.learn(whole_split(blind))
    assert data.time_E is not None
    games_E = data.catalogue.domain_of(data.item_E) == data.domains.index("games")
    partly = dataclasses.replace(data, time_E=np.where(games_E, UNKNOWN_TIME, data.time_E))
    merged = TIDiffRec(hidden=2, domains="merged").build(data.catalogue, "toys", ["games"])
    with pytest.warns(UserWarning, match="training rows hold events without a known time"):
        merged.learn(whole_split(partly))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(whole_split(data))
        model.learn(whole_split(partly))
        TDiffRec(hidden=2).build(data.catalogue, "toys").learn(whole_split(blind))


@pytest.mark.real
@pytest.mark.parametrize("target, users", [("toys", 1410), ("games", 1679)])
def test_users_whose_training_events_have_one_time(real_data, target: str, users: int) -> None:
    """Specs of PDRec, section 10, G10."""
    split = LeaveLastOut(target).apply(Dataset.from_folder(real_data / "amazon-toy-game"))
    model = TIDiffRec(hidden=1, equal="min").build(split.data.catalogue, target)
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, (target,), whole=True)
    known = model.known(rows.batch(torch.arange(len(rows))))
    newest_P = torch.zeros(len(rows)).scatter_reduce(0, known.query_M, known.weight_M, "amax")
    assert int((newest_P == 0.5).sum()) == users
