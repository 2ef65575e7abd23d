"""T-DiffRec."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut
from crossrec.models.tdiffrec import TDiffRec
from crossrec.models.tidiffrec import TIDiffRec
from crossrec.testing import ModelTests
from crossrec.testing.conformance import same
from crossrec.testing.law import law_split
from crossrec.testing.runs import interrupt
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

Rows = Callable[[TDiffRec, Dataset], Tensor]
Asked = Callable[[TDiffRec, Dataset], Batch]


class TestTDiffRec(ModelTests):
    model = TDiffRec(hidden=16)


class TestMerged(ModelTests):
    model = TDiffRec(hidden=16, domains="merged")


def test_weights_by_order(rows_of: Rows) -> None:
    """The worked example of the specs of PDRec, 3.1."""
    data = world_of([[("toys", item, 0) for item in (2, 0, 3, 1)]], {"toys": 5})
    model = TDiffRec(hidden=4).build(data.catalogue, "toys")
    expected = [[0, 2 / 3, 1, 0.5, 5 / 6, 0]]  # the padding column, then the items
    torch.testing.assert_close(rows_of(model, data), torch.tensor(expected), atol=5e-7, rtol=0)


def test_a_single_item_is_the_newest_and_nothing_is_a_row_of_zeros(rows_of: Rows) -> None:
    data = world_of([[("toys", 1, 0)], []], {"toys": 2})
    model = TDiffRec(hidden=4, low=0.3, high=0.9).build(data.catalogue, "toys")
    torch.testing.assert_close(rows_of(model, data), torch.tensor([[0, 0, 0.9], [0, 0, 0]]))


def test_of_an_item_that_occurs_again_the_last_event_counts(rows_of: Rows) -> None:
    data = world_of([[("toys", item, 0) for item in (0, 1, 0, 2, 1)]], {"toys": 3})
    model = TDiffRec(hidden=4, low=1.0, high=0.0).build(data.catalogue, "toys")
    torch.testing.assert_close(rows_of(model, data), torch.tensor([[0, 0.5, 0, 0.25]]))


def test_merged_rows_have_the_columns_of_all_domains_and_sources_count_half(rows_of: Rows) -> None:
    data = world_of([[("games", 1, 0), ("toys", 0, 1), ("games", 0, 2)]], {"games": 2, "toys": 1})
    merged = TDiffRec(hidden=4, domains="merged").build(data.catalogue, "toys", ["games"])
    torch.testing.assert_close(rows_of(merged, data), torch.tensor([[0, 0.75, 0.5, 0.25]]))
    assert merged.serves() == ("toys", "games")
    assert len(merged.inward) == 1 + 1 + 2
    own = TDiffRec(hidden=4).build(data.catalogue, "toys", ["games"])
    torch.testing.assert_close(rows_of(own, data), torch.tensor([[0, 1.0]]))
    assert own.serves() == ("toys",)


def test_the_padding_column_has_a_score_and_is_never_observed(ask_all: Asked) -> None:
    data = tiny_world(users=6)
    model = TDiffRec(hidden=8).build(data.catalogue, "toys").eval()
    batch = ask_all(model, data)
    torch.testing.assert_close(model.items(torch.tensor(0)), model.outward[0])
    assert int(model.known(batch).column_M.min()) > 0
    ids = torch.tensor([[0, model.block("toys").start]]).expand(len(batch), 2)
    torch.testing.assert_close(model.candidate_scores(batch, ids), model.queries(batch) @ model.outward[:2].T)


def dense(model: TDiffRec, x_PD: Tensor) -> Tensor:
    """Every column at every step, as published: specs of PDRec, 3.2 and 3.5."""
    schedule, weight_DH, bias_D = model.schedule, model.outward[:, :-1], model.outward[:, -1]
    for t in range(model.config.steps - 1, -1, -1):
        e = model.embedding.linear(model.embedding.wave_TE[t])
        both = torch.cat([x_PD, e.expand(len(x_PD), -1)], 1)
        inward = torch.cat([model.inward, model.from_step.weight.T])
        f = torch.tanh(both @ inward + model.from_step.bias) @ weight_DH.T + bias_D
        x_PD = schedule.c1_T[t] * f + schedule.c2_T[t] * x_PD
    return x_PD


@pytest.mark.parametrize("kind", [TDiffRec, TIDiffRec])
@pytest.mark.parametrize("domains", ["target", "merged"])
@torch.no_grad()
def test_the_hidden_chain_is_the_dense_one(kind: type[TDiffRec], domains: str, rows_of: Rows, ask_all: Asked) -> None:
    torch.manual_seed(0)
    data = tiny_world(users=12)
    model = kind(hidden=24, domains=domains).build(data.catalogue, "toys", ["games"]).double().eval()
    model.outward.mul_(8)
    expected = dense(model, rows_of(model, data))
    batch = ask_all(model, data)
    for domain in model.serves():
        first, size = model.first[domain], len(model.block(domain))
        torch.testing.assert_close(model.scores(batch, domain), expected[:, first : first + size], atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_the_chain_follows_the_weights(rows_of: Rows, ask_all: Asked) -> None:
    """Whatever changes them: an optimiser, a loaded state, a copy, a move to another precision."""
    data = tiny_world(users=6)
    torch.manual_seed(0)
    model = TDiffRec(hidden=8).build(data.catalogue, "toys").eval()
    batch, other = ask_all(model, data), TDiffRec(hidden=8).build(data.catalogue, "toys")

    def right(model: TDiffRec) -> None:
        expected = dense(model, rows_of(model, data))[:, 1:]
        torch.testing.assert_close(model.scores(batch, "toys").double(), expected.double(), atol=1e-6, rtol=1e-5)

    right(model)
    assert model._links() is model._links(), "computed once per state of the weights"
    optimizer = torch.optim.AdamW(model.parameters(), 0.1, fused=True)
    with torch.enable_grad():
        model.train().loss(batch).mean().backward()
    model.queries(batch)
    optimizer.step()
    right(model.eval())
    model.load_state_dict(other.state_dict())
    right(model)
    copied = copy.deepcopy(model)
    copied.inward.mul_(2)
    right(copied)
    right(model)
    right(model.double())


def test_the_loss_is_the_weighted_mean_square_over_the_chance(
    monkeypatch: pytest.MonkeyPatch, rows_of: Rows, ask_all: Asked
) -> None:
    """Specs of PDRec, 3.4, with the input and the steps given; its gradient too."""
    torch.manual_seed(0)
    data = tiny_world(users=5)
    model = TDiffRec(hidden=8).build(data.catalogue, "toys").double()
    x_PD = torch.randn(5, len(model.inward), dtype=torch.float64)
    step_P, chance_P = torch.tensor([0, 1, 9, 4, 4]), torch.tensor([0.1, 0.2, 0.3, 0.05, 0.05], dtype=torch.float64)
    monkeypatch.setattr(model, "_noised", lambda *given: x_PD)
    monkeypatch.setattr(model.important, "draw", lambda count: (step_P, chance_P))
    found_P = model.loss(ask_all(model, data))
    drive_PH = model.from_step(model.embedding())[step_P]
    f_PD = torch.tanh(x_PD @ model.inward + drive_PH) @ model.outward[:, :-1].T + model.outward[:, -1]
    each_P = (rows_of(model, data) - f_PD).square().mean(1) * model.schedule.weight_T[step_P]
    expected_P = each_P / (10 * chance_P)
    torch.testing.assert_close(found_P, expected_P)
    assert model.important.count_T.tolist() == [1, 1, 0, 0, 2, 0, 0, 0, 0, 1]
    torch.testing.assert_close(model.important.loss_TN[9, 0], each_P[2].detach(), msg="remembered before the division")
    ours = torch.autograd.grad(found_P.mean(), list(model.parameters()))
    theirs = torch.autograd.grad(expected_P.mean(), list(model.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_the_input_is_the_row_with_noise_and_dropout(rows_of: Rows, ask_all: Asked) -> None:
    torch.manual_seed(0)
    data = world_of([[("toys", 3, 0), ("toys", 700, 1)]] * 300, {"toys": 1200})
    model = TDiffRec(hidden=2).build(data.catalogue, "toys")
    known, row_D = model.known(ask_all(model, data)), rows_of(model, data)[0]
    step_P = torch.arange(300) % 10
    x_PD = model._noised(known, step_P, 300)
    kept_PD = x_PD != 0
    assert float(kept_PD.float().mean()) == pytest.approx(0.5, abs=0.01)
    for t in (0, 9):
        x_BD, kept_BD = x_PD[step_P == t] / 2, kept_PD[step_P == t]
        noise_BD = x_BD - float(model.schedule.signal_T[t]) * row_D
        std = float(model.schedule.noise_T[t])
        assert float(noise_BD[kept_BD].std()) == pytest.approx(std, rel=0.03)
        assert abs(float(noise_BD[kept_BD].mean())) < std / 30
        assert float(x_BD[:, 701][kept_BD[:, 701]].mean()) == pytest.approx(1, abs=5 * std)


def test_bfloat16_gives_nearly_the_same_loss(monkeypatch: pytest.MonkeyPatch, ask_all: Asked) -> None:
    torch.manual_seed(0)
    data = tiny_world(users=30)
    model = TDiffRec(hidden=32).build(data.catalogue, "toys")
    batch, step_P = ask_all(model, data), torch.arange(30) % 10
    monkeypatch.setattr(model.important, "draw", lambda count: (step_P, torch.full((count,), 0.1)))
    state = torch.get_rng_state()
    exact_P = model.loss(batch)
    torch.set_rng_state(state)
    with torch.autocast("cpu", torch.bfloat16):
        found_P = model.loss(batch)
        assert model._noised(model.known(batch), step_P, 30).dtype == torch.bfloat16
    assert found_P.dtype == torch.float32
    torch.testing.assert_close(found_P, exact_P, rtol=0.02, atol=0)
    found_P.mean().backward()
    assert model.outward.grad is not None
    assert model.outward.grad.dtype == torch.float32


def test_training_rows_are_whole() -> None:
    """A query per row with an event of the domains read; it knows all of the row and nothing else."""
    split = LeaveLastOut("toys").apply(tiny_world())
    for domains, reads in (("target", ("toys",)), ("merged", ("toys", "games"))):
        model = TDiffRec(hidden=4, domains=domains).build(split.data.catalogue, "toys", ["games"])
        (phase,) = model.phases()
        asked = (phase.domain, *phase.also)
        rows = TrainingRows(Batcher(split.events, model.views()), split.train, asked, whole=phase.whole)
        batch = rows.batch(torch.arange(len(rows)))
        known = model.known(batch)
        for n, user in enumerate(batch.user_P.tolist()):
            held = np.flatnonzero(split.train.user_N == user)
            item = split.events.item_E[split.train.start_N[held[0]] : split.train.stop_N[held[0]]]
            expected = {int(model.row_V[i]) for i in item} - {0}
            assert set(known.column_M[known.query_M == n].tolist()) == expected, reads


def test_learns_who_likes_what() -> None:
    """Two groups of users and of items: an unseen item of the own group outscores all of the other."""
    rng = np.random.default_rng(0)
    histories = [[("toys", 10 * (u % 2) + int(i), t) for t, i in enumerate(rng.permutation(10)[:6])] for u in range(80)]
    split = LeaveLastOut("toys").apply(world_of(histories, {"toys": 20}))
    recommender = fit(TDiffRec(hidden=16), split, epochs=40, eval_every=40, lr=1e-2, weight_decay=0.1, batch=20)
    found = recommender.recommend(users=[f"u{u}" for u in range(80)], k=4).to_pydict()
    own = [int(item[4:]) // 10 == int(user[1:]) % 2 for user, item in zip(found["user"], found["item"], strict=True)]
    assert np.mean(own) > 0.98


def test_a_resumed_run_draws_the_steps_that_it_would_have(tmp_path: Path) -> None:
    def train(**settings: object) -> TDiffRec:
        given = {"epochs": 16, "first_eval": 16, "lr": 1e-3, "batch": 16, "seed": 3, **settings}
        model = fit(TDiffRec(hidden=8), law_split(), **given).model
        assert isinstance(model, TDiffRec)
        return model

    expected = train()
    chance_T = expected.important.chances()
    assert float(chance_T.max()) > 2 * float(chance_T.min()), "by the end the steps are drawn by their losses"
    interrupt(train, 13, tmp_path / "run")
    same(train(out=tmp_path / "run", resume=True, checkpoint_seconds=0.0), expected, "a killed and resumed run")


def test_the_authors_preset_is_the_published_training() -> None:
    """Specs of PDRec, 3.4."""
    found = TDiffRec.presets["authors"]["train"]
    expected = {
        "lr": 5e-5,
        "weight_decay": 0.5,
        "batch": 400,
        "decay": 0.99,
        "copies": 3,
        "epochs": 1000,
        "patience": 10,
    }
    assert {key: found[key] for key in expected} == expected
    assert TIDiffRec.presets is TDiffRec.presets


def test_the_network_is_the_published_one() -> None:
    """Specs of PDRec, 3.2: its number of parameters and their first values."""

    def size(columns: int, hidden: int, embedding: int) -> int:
        layers = (embedding, embedding), (columns + embedding, hidden), (hidden, columns)
        return sum(inside * outside + outside for inside, outside in layers)

    assert size(49_604, 1000, 10) == 99_268_714
    torch.manual_seed(0)
    model = TDiffRec(hidden=100, time_dim=40).build(world_of([[]], {"toys": 899}).catalogue, "toys")
    assert sum(parameter.numel() for parameter in model.parameters()) == size(900, 100, 40)
    for weight, fans in (
        (model.inward, 1040),
        (model.from_step.weight, 1040),
        (model.outward[:, :-1], 1000),
        (model.embedding.linear.weight, 80),
    ):
        assert float(weight.detach().std()) == pytest.approx((2 / fans) ** 0.5, rel=0.1)
    for bias in (model.from_step.bias, model.outward[:, -1], model.embedding.linear.bias):
        assert float(bias.detach().std()) == pytest.approx(0.001, rel=0.5)
