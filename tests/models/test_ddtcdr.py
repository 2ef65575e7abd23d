"""DDTCDR."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models.ddtcdr import DDTCDR
from crossrec.testing import ModelTests
from crossrec.testing.batches import training_batch
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit


class TestDDTCDR(ModelTests):
    model = DDTCDR(dim=16)
    least = 0.6


def made(split: Split, **settings: object) -> DDTCDR:
    """A model with random tables."""
    torch.manual_seed(0)
    others = [name for name in split.data.domains if name != "toys"]
    model = DDTCDR(**{"dim": 4, "alpha": 0.3, **settings}).build(split.data.catalogue, "toys", others)
    for weight in (model.users.weight, model.table.weight):
        weight.data.normal_()
    model.learn(split)
    return model


@pytest.mark.parametrize("sizes", [{"toys": 30, "games": 20}, {"toys": 30, "games": 20, "books": 10}])
def test_scores_mix_the_networks_on_mapped_vectors(sizes: dict[str, int]) -> None:
    """Equation 5.3 in numpy, pair by pair: with one matrix there, and with its transpose back."""
    split = LeaveLastOut("toys").apply(tiny_world(8, sizes))
    recommender = fit(DDTCDR(dim=4, layers=(6, 3), alpha=0.3), split, epochs=2, lr=0.05)
    model = recommender.model
    p_UD = model.users.weight.detach().numpy()
    towers = [{key: value.numpy() for key, value in tower.state_dict().items()} for tower in model.towers]
    maps = dict(zip(model.pairs, [phi.detach().numpy() for phi in model.maps], strict=True))

    def rated(x: int, p: np.ndarray, q: np.ndarray) -> float:
        tower = towers[x]
        weight = np.hstack([tower["user.weight"], tower["item.weight"]])
        h = np.maximum(weight @ np.concatenate([p, q]) + tower["user.bias"], 0)
        h = np.maximum(tower["layers.0.weight"] @ h + tower["layers.0.bias"], 0)
        return float((tower["out.weight"] @ h + tower["out.bias"])[0])

    for x, name in enumerate(model.reads):
        others = [y for y in range(len(towers)) if y != x]
        expected = np.empty((8, sizes[name]))
        for u, p in enumerate(p_UD):
            for i, q in enumerate(model.table.block(name).detach().numpy()):
                there = [rated(y, (maps[x, y] if x < y else maps[y, x].T) @ p, q) for y in others]
                expected[u, i] = 0.7 * rated(x, p, q) + 0.3 * np.mean(there)
        found = recommender.score([f"u{u}" for u in range(8)], [f"{name}{i}" for i in range(sizes[name])], domain=name)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_map_learns_from_the_data() -> None:
    """Not from the penalty alone, as where the other network's answer is cut off from the gradient; and that network too."""
    split = LeaveLastOut("toys").apply(tiny_world(8))
    model = made(split, penalty=0.0).train()
    batch = training_batch(model, split, "all")
    assert model.auxiliary(batch) is None
    for domain, own, other in (("toys", 0, 1), ("games", 1, 0)):
        model.zero_grad()
        block = model.block(domain)
        asks = (batch.positive_P >= block.start) & (batch.positive_P < block.stop)
        part = batch.asking(domain, asks.nonzero()[:, 0])
        model.logits(model.queries(part), model.items(part.positive_P)[:, None], domain).sigmoid().sum().backward()
        assert model.maps[0].grad.abs().max() > 1e-5
        for x in (own, other):
            assert model.tower(x).user.weight.grad.abs().max() > 0


def test_dropout_is_off_when_asked() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(8))
    model = made(split, dropout=0.5)
    batch = training_batch(model, split, "all")
    part = batch.asking("toys", (batch.positive_P < model.block("toys").stop).nonzero()[:3, 0])
    with torch.no_grad():
        training = [model.train().scores(part, "toys") for _ in range(2)]
        asked = [model.eval().scores(part, "toys") for _ in range(2)]
    assert not torch.equal(*training)
    assert torch.equal(*asked)


def test_maps_begin_orthogonal_and_are_held_there_by_the_penalty() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(8, {"toys": 30, "games": 20, "books": 10}))
    model = made(split, penalty=0.5)
    batch = training_batch(model, split, "all")
    assert len(model.maps) == 3
    assert model.auxiliary(batch).item() == pytest.approx(0, abs=1e-4)
    model.maps[1].data = 2 * torch.eye(4)
    model.maps[1].data[0, 1] = 1
    assert model.auxiliary(batch).item() == pytest.approx(0.5 * (4 + 3 * 3 + 2 + 2), abs=1e-4)


def test_a_trained_map_is_still_orthogonal() -> None:
    model = fit(DDTCDR(dim=8, alpha=0.3), LeaveLastOut("toys").apply(tiny_world(20)), epochs=15, lr=1e-2, batch=4).model
    phi_DD = model.maps[0].detach()
    torch.testing.assert_close(phi_DD @ phi_DD.T, torch.eye(8), atol=0.3, rtol=0)


def test_without_a_source_it_is_its_own_network() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(8, {"toys": 30}))
    model = made(split).eval()
    part = training_batch(model, split, "all").asking("toys", torch.arange(3))
    tower, p_PD = model.tower(0), model.users.weight[part.user_P]
    expected = tower(tower.user(p_PD)[:, None] + tower.item(model.table.block("toys")))
    torch.testing.assert_close(model.scores(part, "toys"), expected)
