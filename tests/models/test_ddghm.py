"""DDGHM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut
from crossrec.models.ddghm import DDGHM
from crossrec.nn import hybrid_metric
from crossrec.testing import ModelTests
from crossrec.testing.batches import after, close_under_autocast, training_batch, windows
from crossrec.testing.law import law_split
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

Asked = Callable[[DDGHM, Dataset], Batch]


class TestDDGHM(ModelTests):
    model = DDGHM(dim=8, max_len=20)


class TestLocal(ModelTests):
    model = DDGHM(dim=8, max_len=20, variant="local")


def made(data: Dataset, *sources: str, **settings: Any) -> DDGHM:
    """A model with random weights for the domain toys, in double precision."""
    torch.manual_seed(0)
    model = DDGHM(**{"dim": 4, **settings}).build(data.catalogue, "toys", sources).double().eval()
    with torch.no_grad():
        model.table.weight[1:, -1].normal_()
    return model


def test_the_loss_is_the_mean_cross_entropy_of_every_domain_summed() -> None:
    """Equation 7.19, from the query of every beginning of a row asked by itself."""
    split = LeaveLastOut("toys").apply(tiny_world(users=9))
    model = made(split.data, "games", lambda_col=0.0, lambda_con=0.0)
    sums: dict[str, list[Tensor]] = {"toys": [], "games": []}
    for row in windows(split):
        for t, item in enumerate(row):
            name = next(name for name in sums if item in model.block(name))
            if any(before in model.block(name) for before in row[:t]):
                logit_V = after(model, [row[:t]], name)[0] @ model.item_block(name).T
                sums[name].append(F.cross_entropy(logit_V, torch.tensor(item - model.block(name).start)))
    found = model.loss(training_batch(model, split, "domain"))
    assert len(found) == sum(map(len, sums.values()))
    torch.testing.assert_close(found.mean(), sum(torch.stack(terms).mean() for terms in sums.values()))


@pytest.mark.parametrize("repeats", [False, True])
def test_the_metric_terms_are_of_whole_windows_and_spread_evenly(
    monkeypatch: pytest.MonkeyPatch, repeats: bool
) -> None:
    """Equations 7.20 to 7.22: the last event of a window is part of it, though no query knows it."""
    data = tiny_world(users=7, sizes={"toys": 9, "games": 7} if repeats else {"toys": 300, "games": 200})
    split = LeaveLastOut("toys").apply(data)
    plain = made(data, "games", lambda_col=0.0, lambda_con=0.0)
    model = made(data, "games", lambda_col=0.3, lambda_con=0.7, gamma=0.5)
    model.load_state_dict(plain.state_dict())
    batch = training_batch(model, split, "domain")
    monkeypatch.setattr(hybrid_metric, "hidden", lambda own_bl, share: own_bl & (own_bl.cumsum(1) % 2 == 1))
    monkeypatch.setattr(hybrid_metric, "unmet", lambda met_bn, items, k: (met_bn[..., None] + torch.arange(k)) % items)
    extra_P = model.loss(batch) - plain.loss(batch)
    torch.testing.assert_close(extra_P, extra_P[:1].expand(len(batch)))
    total = torch.zeros((), dtype=torch.float64)
    for name in ("toys", "games"):
        block, pulls, terms, views = model.block(name), 0.0, 0, ([], [])
        for row in windows(split):
            own = [item - block.start for item in row if item in block]
            if own:
                views[0].append(after(model, [row], name)[0][:-1])
                views[1].append(_masked(model, row, name))
                met_bn = torch.tensor([list(dict.fromkeys(own))])
                lookup = lambda ids, first=block.start: model.items(ids + first)[..., :-1]  # noqa: E731 - one line
                one = hybrid_metric.collaborative(views[0][-1][None], met_bn, len(block), lookup, 20, 1.5)
                pulls, terms = pulls + one[0], terms + one[1]
        total = total + 0.3 * pulls / terms + 0.7 * hybrid_metric.contrastive(*map(torch.stack, views))
    torch.testing.assert_close(extra_P[0], total)


def _masked(model: DDGHM, row: list[int], name: str) -> Tensor:
    """Of a window whose domains each hide every other event from the first, by exchanging table rows: 7.5."""
    weight, seen = model.table.weight.detach().clone(), dict.fromkeys(range(2), 0)
    with torch.no_grad():
        for t, item in enumerate(row):
            x = next(x for x, domain in enumerate(model.reads) if item in model.block(domain))
            if item not in row[:t] and seen[x] % 2 == 0:
                model.table.weight[model.table.row_V[item], :-1] = model.masks[x]
            seen[x] += 1
        found = after(model, [row], name)[0][:-1]
        model.table.weight.copy_(weight)
    return found


def test_the_last_positive_is_part_of_the_window_but_of_no_query() -> None:
    """Another last item changes the metric terms and that query's loss, and no other query's."""
    split = LeaveLastOut("toys").apply(
        world_of([[("toys", i, t) for t, i in enumerate((1, 2, 3, 4, 5, 6))]], {"toys": 9})
    )
    model = made(split.data, lambda_col=0.0, lambda_con=0.0)
    batch = training_batch(model, split, "domain")
    other = Batch(batch.domain, batch.histories, batch.user_P, batch.positive_P.clone(), batch.at_P)
    other.positive_P[-1] += 3
    one, two = model.loss(batch), model.loss(other)
    assert torch.equal(one[:-1], two[:-1])
    assert one[-1] != two[-1]


def test_where_nothing_is_known_the_bias_ranks_and_nothing_is_ever_not_a_number(ask_all: Asked) -> None:
    data = world_of([[], [("games", 1, 0)], [("toys", 0, 0), ("games", 0, 0)]], {"games": 3, "toys": 4})
    for variant in ("full", "local", "global", "gru"):
        model = made(data, "games", variant=variant)
        with torch.no_grad():
            score_UV = model.scores(ask_all(model, data), "toys")
        assert torch.isfinite(score_UV).all()
        torch.testing.assert_close(score_UV[0], model.item_block("toys")[:, -1])
        assert torch.equal(score_UV[1], score_UV[0]) == (variant == "local")


def test_the_ablations_are_what_their_names_say() -> None:
    """Specs of DDGHM, 7.8: -col keeps the collaborative metric, and drops the other."""
    found = {name: DDGHM(**preset.get("model", {})).config for name, preset in DDGHM.presets.items()}
    weights = {name: (config.lambda_col, config.lambda_con) for name, config in found.items()}
    assert weights["paper"] == (1.0, 0.7)
    assert (weights["paper-col"], weights["paper-con"], weights["paper-cc"]) == ((1.0, 0.0), (0.0, 0.7), (0.0, 0.0))
    variants = {name.removeprefix("paper-"): config.variant for name, config in found.items()}
    assert (variants["l"], variants["g"], variants["ga"], variants["cc"]) == ("local", "global", "gru", "full")
    assert found["paper"].dim == 256
    assert (found["paper"].readout, found["paper-literal"].readout) == ("post_gate", "literal")


@pytest.mark.parametrize("first", ["any", "domain", "all"])
def test_any_first_event_may_be_predicted_and_any_row_is_short_enough(first: str) -> None:
    """Batches of one row, some of which knows nothing; and rows cut to their latest three events."""
    split = LeaveLastOut("toys").apply(tiny_world(users=6))
    model = fit(DDGHM(dim=4, max_len=3), split, epochs=1, batch=1, first=first).model
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    batch = training_batch(made(split.data, "games"), split, first)
    assert len(made(split.data, "games").loss(batch)) == len(batch)


def test_steps_computed_again_train_the_same_weights() -> None:
    made = [fit(DDGHM(dim=4, checkpoint=again), law_split(), epochs=1, batch=16).model for again in (False, True)]
    for one, other in zip(*(model.parameters() for model in made), strict=True):
        assert torch.equal(one, other)


def test_first_values() -> None:
    """Uniform in -1/sqrt(D) to 1/sqrt(D), biases and padding 0: specs of DDGHM, 7.2; and its number of weights, 65 D²."""
    torch.manual_seed(0)
    model = DDGHM(dim=16).build(tiny_world().catalogue, "toys", ["games"])
    assert not model.table.weight[:, -1].any()
    assert not model.table.weight[0].any()
    for parameter in (model.masks, *model.graphs.parameters(), model.table.weight[1:, :-1]):
        assert float(parameter.detach().abs().max()) <= 0.25
        assert float(parameter.detach().std()) == pytest.approx(0.25 / 3**0.5, rel=0.35)
    matrices = sum(p.numel() for p in model.graphs.parameters() if p.ndim > 1)
    assert matrices == 65 * 16 * 16


def test_autocast_leaves_states_in_single_precision() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=8))
    model = made(split.data, "games").float().train()
    batch = training_batch(model, split, "domain")
    assert close_under_autocast(lambda: model.loss(batch), rtol=0.05, atol=0.05).dtype == torch.float32
