"""Users' vectors, and where people without one are placed."""

from __future__ import annotations

import torch

from crossrec.data.batches import Batch, Batcher, Views
from crossrec.data.splits import Events, LeaveLastOut, Split
from crossrec.nn.users import UserTable
from crossrec.testing.worlds import world_of

SIZES = {"toys": 6, "games": 3}


def world() -> Split:
    """Three users who train, each with another toy, all with game 0 and toy 4; and one without an event."""
    histories = [[("toys", u, 0), ("games", 0, 1), ("toys", 4, 2), ("toys", 5, 3), ("toys", 5, 4)] for u in range(3)]
    return LeaveLastOut("toys").apply(world_of([*histories, []], SIZES))


def table(split: Split) -> UserTable:
    torch.manual_seed(0)
    made = UserTable(split.data.catalogue, ["toys", "games"], 4, std=1.0)
    made.learn(split)
    return made.eval()


def ask(split: Split, users: list[int], rows: list[list[int]]) -> Batch:
    """A query per row of these ids."""
    catalogue = split.data.catalogue
    ends = torch.tensor([len(row) for row in rows]).cumsum(0)
    starts = ends - torch.tensor([len(row) for row in rows])
    events = Events(catalogue, torch.tensor([i for row in rows for i in row], dtype=torch.int32).numpy())
    batcher = Batcher(events, Views({name: (name,) for name in SIZES}))
    return batcher.batch("toys", torch.tensor(users), starts, torch.arange(len(rows)), ends, None)


def test_trained_users_have_their_own_vector_in_training_and_after() -> None:
    split = world()
    users = table(split)
    assert users.trained_U.tolist() == [True] * 3 + [False]
    batch = ask(split, [2, 0], [[1], []])
    for mode in (True, False):
        torch.testing.assert_close(users.train(mode)(batch.user_P, batch.histories.values()), users.weight[[2, 0]])


def test_others_are_placed_by_the_users_of_their_items() -> None:
    split = world()
    users = table(split)
    toys, games = split.data.catalogue.block("toys"), split.data.catalogue.block("games")
    everybody = users.weight[:3].mean(0)
    rows = [[toys[1], toys[1], games[0]], [toys[3]], [], [toys[2], games[2]], [toys[0]]]
    batch = ask(split, [-1, -1, -1, 3, 0], rows)
    found = users(batch.user_P, batch.histories.values())
    expected = [
        (2 * users.weight[1] + everybody) / 3,
        everybody,
        everybody,
        (users.weight[2] + everybody) / 2,
        users.weight[0],
    ]
    torch.testing.assert_close(found, torch.stack(expected))


def test_what_items_stand_for_is_renewed_where_training_stops_and_saved() -> None:
    split = world()
    users = table(split)
    before = users.met_RD.clone()
    users.train()
    users.weight.data += 1
    assert torch.equal(users.met_RD, before)
    users.eval()
    torch.testing.assert_close(users.met_RD, before + 1)
    loaded = UserTable(split.data.catalogue, ["toys", "games"], 4)
    loaded.load_state_dict(users.state_dict())
    assert torch.equal(loaded.train().eval().met_RD, users.met_RD)


def test_a_step_touches_the_users_of_the_batch_alone() -> None:
    users = table(world()).train()
    users(torch.tensor([1, 1]), []).sum().backward()
    grad = users.weight.grad
    assert grad is not None
    assert grad.is_sparse
    assert grad.to_dense().sum(1).tolist() == [0, 8, 0, 0]
