"""π-Net."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Events, LeaveLastOut, Split
from crossrec.models.pinet import PiNet
from crossrec.testing import ModelTests
from crossrec.testing.law import law_split
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

Array = npt.NDArray[np.float64]
SIZES = {"toys": 9, "games": 7, "books": 8}


class TestPiNet(ModelTests):
    model = PiNet(dim=8, max_len=20, dropout=0.0)


def made(data: Dataset, *sources: str, **settings: Any) -> PiNet:
    """A model with random weights for the domain toys, in double precision."""
    torch.manual_seed(0)
    model = PiNet(**{"dim": 4, **settings}).build(data.catalogue, "toys", sources).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    return model


def ask(model: PiNet, rows: list[list[int]], domain: str) -> Array:
    """The queries after histories of these ids, all in one batch."""
    assert model.catalogue is not None
    batcher = Batcher(Events(model.catalogue, np.array(sum(rows, [0]), dtype=np.int32)), model.views())
    stop = torch.tensor([len(row) for row in rows]).cumsum(0) + 1
    start = torch.cat([torch.ones(1, dtype=torch.int64), stop[:-1]])
    batch = batcher.batch(domain, torch.full_like(start, -1), start, torch.arange(len(rows)), stop, None)
    return model.queries(batch).detach().numpy()


def every_query(model: PiNet, split: Split) -> Batch:
    """All training rows with all their queries."""
    (phase,) = model.phases()
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, (phase.domain, *phase.also))
    return rows.batch(torch.arange(len(rows)))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def unit(part: dict[str, Array], name: str, x: Array, h: Array) -> Array:
    """One step of a gated recurrent unit whose reset gate comes before the product."""
    gate, new, bias = part[f"{name}gate"], part[f"{name}new"], part[f"{name}bias"]
    dim = len(h)
    zr = sigmoid(np.concatenate([x, h]) @ gate + bias[: 2 * dim])
    z, r = zr[:dim], zr[dim:]
    return z * h + (1 - z) * np.tanh(np.concatenate([x, r * h]) @ new + bias[2 * dim :])


def slowly(model: PiNet, row: list[int], domain: str) -> Array:
    """Equations 6.1 to 6.6 of one query, event by event."""
    part = {name: value.numpy() for name, value in model.state_dict().items()}
    blocks, dim = [model.block(name) for name in model.reads], model.config.dim
    zero, y = np.zeros(dim), model.reads.index(domain)
    h = [zero for _ in blocks]
    s, t = [[[zero for _ in blocks] for _ in blocks] for _ in range(2)]
    for item in row:
        x = next(x for x, block in enumerate(blocks) if item in block)
        h[x] = unit(part, f"units.{x}.", model.table.weight.detach().numpy()[model.table.row_V[item]], h[x])
        for other in set(range(len(blocks))) - {x}:
            key, old, new = f"transfers.{x}-{other}.", s[x][other], []
            for u in part[f"{key}members"]:
                bias_f, bias_c = np.split(part[f"{key}bias"], 2)
                seen = np.concatenate([h[x], h[other], old])
                f = sigmoid(seen @ part[f"{key}gate"] + u @ part[f"{key}member_gate"] + bias_f)
                inside = np.concatenate([h[x], old]) @ part[f"{key}new"]
                new.append(f * old + (1 - f) * np.tanh(inside + u @ part[f"{key}member_new"] + bias_c))
            s[x][other] = np.mean(new, 0)
            t[x][other] = unit(part, f"{key}unit.", s[x][other], t[x][other])
    passed = [t[x][y] for x in range(len(blocks)) if x != y]
    return np.concatenate([*([np.sum(passed, 0)] if passed else []), h[y], [1.0]])


@pytest.mark.parametrize("domains", [1, 2, 3])
@pytest.mark.parametrize("members", [1, 3])
def test_every_query_is_the_formula_of_what_came_before_it(members: int, domains: int) -> None:
    """Every next item of every domain of a row in one pass, against each of its beginnings read event by event."""
    names = tuple(SIZES)[:domains]
    split = LeaveLastOut("toys").apply(tiny_world(users=7, sizes={name: SIZES[name] for name in names}, events=10))
    model = made(split.data, *names[1:], members=members)
    found, expected = model.queries(every_query(model, split)).detach().numpy(), []
    for start, stop in zip(split.train.start_N, split.train.stop_N, strict=True):
        row = split.events.item_E[start:stop].tolist()
        for at in range(1, len(row)):
            domain = next(name for name in names if row[at] in model.block(name))
            expected.append(slowly(model, row[:at], domain))
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-12)


def test_a_row_does_not_depend_on_those_beside_it() -> None:
    """Padding, the order of rows, and rows of which nothing is known."""
    data = tiny_world(users=9, sizes=SIZES)
    model = made(data, "games", "books")
    rows = [row.tolist() for row in np.split(data.item_E, data.offset_U1[1:-1])]
    rows = [[], rows[0][:1], *rows, rows[0] * 3, []]
    together = ask(model, rows, "games")
    for number, row in enumerate(rows):
        np.testing.assert_allclose(ask(model, [row], "games")[0], together[number], atol=1e-12)
    np.testing.assert_allclose(ask(model, rows[::-1], "games")[::-1], together, atol=1e-12)


def test_a_domain_without_events_has_a_zero_state() -> None:
    data = world_of([[("toys", 1, 0), ("games", 2, 1)]], SIZES)
    model = made(data, "games", "books")
    dim, (toy, game) = model.config.dim, data.item_E.tolist()
    nothing, games, toys = ask(model, [[], [game], [toy]], "toys")
    assert nothing.tolist() == [0.0] * 2 * dim + [1.0]
    assert games[:dim].all()
    assert not games[dim:-1].any()
    assert not toys[:dim].any()
    assert toys[dim:-1].all()
    block = model.item_block("toys").detach().numpy()
    np.testing.assert_allclose(block @ nothing, block[:, -1])


def test_no_query_knows_a_later_event_of_the_other_domain() -> None:
    """Published loaders feed all events but the last of each domain, those of the other after the one asked for too."""
    histories = [
        [("games", 1, 0), ("toys", 1, 1), ("toys", 2, 2), ("games", game, 3), ("games", 4, 4)] for game in (2, 5)
    ]
    queries = []
    for history in histories:
        split = LeaveLastOut("toys").apply(
            world_of([[*history, ("toys", 3, 5), ("toys", 4, 6), ("toys", 5, 7)]], SIZES)
        )
        model = made(split.data, "games")
        batch = every_query(model, split)
        queries.append(model.queries(batch)[: int((batch.at_P <= 3).sum())])
    assert len(queries[0]) == 3
    assert torch.equal(*queries)


def test_the_output_layer_is_its_own_and_has_a_bias() -> None:
    """Item vectors are [w, c]: twice as wide as the states, and one; biases start at 0."""
    model = PiNet(dim=6).build(tiny_world().catalogue, "toys", ["games"])
    assert model.item_block("games").shape == (20, 13)
    assert not model.item_block("toys")[:, -1].any()
    assert model.table.weight.shape == (51, 6)
    single = PiNet(dim=6).build(tiny_world().catalogue, "toys")
    assert single.item_block("toys").shape == (30, 7)


@pytest.mark.parametrize("domains", [("toys",), ("toys", "games"), ("toys", "games", "books")])
def test_any_number_of_domains_is_trained_and_served(domains: tuple[str, ...]) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=12, sizes=dict.fromkeys(domains, 12)))
    recommender = fit(PiNet(dim=4), split, epochs=1, batch=6)
    assert recommender.model.serves() == domains
    for name in domains:
        assert recommender.recommend(users=["u1"], domain=name, k=3).num_rows == 3
    assert all(bool(torch.isfinite(p).all()) for p in recommender.model.parameters())


@pytest.mark.parametrize("preset", list(PiNet.presets))
def test_every_preset_is_trained(preset: str) -> None:
    model = fit(PiNet, law_split(), preset=preset, model_settings={"dim": 4}, epochs=1).model
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert PiNet(**PiNet.presets["paper"]["model"]).config.dim == 100


def test_overfits_a_few_rows() -> None:
    """The right next item first, in every domain."""
    split = LeaveLastOut("toys").apply(tiny_world(users=20, sizes={"toys": 30, "games": 20}))
    model = fit(PiNet(dim=32, dropout=0.0), split, epochs=50, eval_every=50, batch=20, lr=1e-2).model
    batch = every_query(model.eval(), split)
    with torch.no_grad():
        query_PD = model.queries(batch)
        for name in model.serves():
            block = model.block(name)
            asked = (batch.positive_P >= block.start) & (batch.positive_P < block.stop)
            first_P = (query_PD[asked] @ model.item_block(name).T).argmax(1) + block.start
            assert float((first_P == batch.positive_P[asked]).double().mean()) > 0.95


def test_learns_what_only_the_other_domain_tells() -> None:
    """Toys are random but for the number of the game just before: a fifth is chance."""
    rng, histories = np.random.default_rng(0), []
    for _ in range(60):
        pairs = enumerate(rng.integers(5, size=4).tolist())
        histories.append([(name, item, t) for t, item in pairs for name in ("games", "toys")])
    split = LeaveLastOut("toys").apply(world_of(histories, {"toys": 5, "games": 5}, timed=False))
    model = PiNet(dim=16, dropout=0.0)
    recommender = fit(model, split, epochs=40, eval_every=10, lr=1e-2, batch=10)
    batch = next(Batcher(split.events, recommender.model.views()).queries(split.test, 60))
    with torch.no_grad():
        best_P = recommender.model.scores(batch, "toys").argmax(1) + recommender.model.block("toys").start
    assert float((best_P == batch.positive_P).double().mean()) > 0.8


def test_autocast_and_single_precision_agree() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=8))
    model = made(split.data, "games").float()
    batch = every_query(model, split)
    exact_PD = model.queries(batch)
    with torch.autocast("cpu", torch.bfloat16):
        found_PD = model.queries(batch)
    assert found_PD.dtype == torch.float32
    torch.testing.assert_close(found_PD, exact_PD, rtol=0.05, atol=0.05)
    found_PD.sum().backward()


def test_dropout_is_drawn_in_training_alone() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=8))
    model = made(split.data, "games", dropout=0.5)
    batch = every_query(model, split)
    assert torch.equal(model.queries(batch), model.queries(batch))
    model.train()
    one, other = model.queries(batch), model.queries(batch)
    assert not torch.equal(one, other)
    assert torch.equal(one[:, -1], torch.ones(len(batch), dtype=torch.float64)), "the bias is never dropped"
