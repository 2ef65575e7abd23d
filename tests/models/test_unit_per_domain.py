"""What π-Net and PSJNet-II have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.data.splits import LeaveLastOut
from crossrec.models.pinet import PiNet
from crossrec.models.psjnet import PSJNet
from crossrec.models.unit_per_domain import UnitPerDomain
from crossrec.testing.batches import after, close_under_autocast, training_batch
from crossrec.testing.unit_per_domain import SIZES, made
from crossrec.testing.worlds import tiny_world, world_of

Kind = type[UnitPerDomain]
every_kind = pytest.mark.parametrize("kind", [PiNet, PSJNet], ids=lambda kind: kind.name)


@every_kind
def test_a_row_does_not_depend_on_those_beside_it(kind: Kind) -> None:
    """Padding, the order of rows, and rows of which nothing is known."""
    data = tiny_world(users=9, sizes=SIZES)
    model = made(kind, data, "games", "books")
    rows = [row.tolist() for row in np.split(data.item_E, data.offset_U1[1:-1])]
    rows = [[], rows[0][:1], *rows, rows[0] * 3, []]
    together = after(model, rows, "games")
    alone = torch.cat([after(model, [row], "games") for row in rows])
    torch.testing.assert_close(alone, together, atol=1e-12, rtol=1e-7)
    torch.testing.assert_close(after(model, rows[::-1], "games").flip(0), together, atol=1e-12, rtol=1e-7)


@every_kind
def test_a_domain_without_events_has_a_zero_state(kind: Kind) -> None:
    data = world_of([[("toys", 1, 0), ("games", 2, 1)]], SIZES)
    model = made(kind, data, "games", "books")
    dim, (toy, game) = model.config.dim, data.item_E.tolist()
    nothing, games, toys = after(model, [[], [game], [toy]], "toys")
    assert nothing.tolist() == [0.0] * 2 * dim + [1.0]
    assert games[:dim].all()
    assert not games[dim:-1].any()
    assert not toys[:dim].any()
    assert toys[dim:-1].all()
    block = model.item_block("toys")
    torch.testing.assert_close(block @ nothing, block[:, -1])


@every_kind
def test_no_query_knows_a_later_event_of_the_other_domain(kind: Kind) -> None:
    """Published loaders feed all events but the last of each domain, those of the other after the one asked for too."""
    histories = [
        [("games", 1, 0), ("toys", 1, 1), ("toys", 2, 2), ("games", game, 3), ("games", 4, 4)] for game in (2, 5)
    ]
    queries = []
    for history in histories:
        split = LeaveLastOut("toys").apply(
            world_of([[*history, ("toys", 3, 5), ("toys", 4, 6), ("toys", 5, 7)]], SIZES)
        )
        model = made(kind, split.data, "games")
        batch = training_batch(model, split)
        queries.append(model.queries(batch)[: int((batch.at_P <= 3).sum())])
    assert len(queries[0]) == 3
    assert torch.equal(*queries)


@every_kind
def test_the_output_layer_is_its_own_and_has_a_bias(kind: Kind) -> None:
    """Item vectors are [w, c]: twice as wide as the states, and one; biases start at 0."""
    model = kind(dim=6).build(tiny_world().catalogue, "toys", ["games"])
    assert model.item_block("games").shape == (20, 13)
    assert not model.item_block("toys")[:, -1].any()
    assert model.table.weight.shape == (51, 6)
    single = kind(dim=6).build(tiny_world().catalogue, "toys")
    assert single.item_block("toys").shape == (30, 7)


@every_kind
def test_the_published_width(kind: Kind) -> None:
    assert kind(**kind.presets["paper"]["model"]).config.dim == 100


@every_kind
def test_autocast_and_single_precision_agree(kind: Kind) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=8))
    model = made(kind, split.data, "games").float()
    batch = training_batch(model, split)
    assert close_under_autocast(lambda: model.queries(batch), rtol=0.05, atol=0.05).dtype == torch.float32


@every_kind
def test_dropout_is_drawn_in_training_alone(kind: Kind) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=8))
    model = made(kind, split.data, "games", dropout=0.5)
    batch = training_batch(model, split)
    assert torch.equal(model.queries(batch), model.queries(batch))
    model.train()
    one, other = model.queries(batch), model.queries(batch)
    assert not torch.equal(one, other)
    assert torch.equal(one[:, -1], torch.ones(len(batch), dtype=torch.float64)), "the bias is never dropped"
