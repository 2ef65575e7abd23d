"""NCF-MLP++."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batcher, TrainingRows, deliveries
from crossrec.data.splits import LeaveLastOut
from crossrec.models.ncfmlp import NCFMLP
from crossrec.testing import ModelTests
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit


class TestNCFMLP(ModelTests):
    model = NCFMLP(dim=16)
    least = 0.6


def test_scores_are_those_of_the_perceptron_over_both_vectors() -> None:
    """Equation of section 5.1, in numpy, pair by pair."""
    split = LeaveLastOut("toys").apply(tiny_world(12))
    recommender = fit(NCFMLP(dim=4, layers=(6, 3)), split, epochs=2, lr=0.05)
    model = recommender.model
    for x, name in enumerate(("toys", "games")):
        tower = {key: value.numpy() for key, value in model.towers[x].state_dict().items()}
        p_UD, q_VD = model.users.weight.detach().numpy(), model.table.block(name).detach().numpy()
        weight, expected = np.hstack([tower["user.weight"], tower["item.weight"]]), np.empty((12, len(q_VD)))
        for u, p in enumerate(p_UD):
            for i, q in enumerate(q_VD):
                h = np.maximum(weight @ np.concatenate([p, q]) + tower["user.bias"], 0)
                h = np.maximum(tower["layers.0.weight"] @ h + tower["layers.0.bias"], 0)
                expected[u, i] = (tower["out.weight"] @ h + tower["out.bias"])[0]
        users, items = [f"u{u}" for u in range(12)], [f"{name}{i}" for i in range(len(q_VD))]
        np.testing.assert_allclose(recommender.score(users, items, domain=name), expected, atol=1e-5)


@pytest.mark.parametrize("preset", NCFMLP.presets)
def test_every_event_of_every_domain_is_a_positive_of_every_epoch(preset: str) -> None:
    """Not one per user, as in the published program, nor only those that something precedes."""
    split = LeaveLastOut("toys").apply(tiny_world())
    settings = NCFMLP.presets[preset]["train"]
    model = NCFMLP(dim=4).build(split.data.catalogue, "toys", ["games"])
    (phase,) = model.phases()
    rows = TrainingRows(
        Batcher(split.events, model.views()), split.train, (phase.domain, *phase.also), settings["first"]
    )
    generator = torch.Generator().manual_seed(0)
    at = torch.cat([rows.batch(index).at_P for index in deliveries(len(rows), settings["batch"], 1, generator)])
    expected = np.concatenate([split.events.within(split.train, name)[1] for name in ("toys", "games")])
    assert sorted(at.tolist()) == sorted(expected.tolist())
    assert len(at) > 3 * len(rows)


def test_domains_share_the_users_alone() -> None:
    """What is learned of games reaches the score of toys by the user's vector."""
    split = LeaveLastOut("toys").apply(tiny_world(12))
    model = NCFMLP(dim=4).build(split.data.catalogue, "toys", ["games"])
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, ["games"], "all")
    batch = rows.batch(torch.arange(len(rows)))
    model.logits(model.queries(batch), model.item_block("games"), "games").sum().backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    inner = ("user.weight", "user.bias", "item.weight", "out.weight", "out.bias")
    layers = [f"layers.{number}.{kind}" for number in (0, 1) for kind in ("weight", "bias")]
    assert reached == {"users.weight", "table.weight", *(f"towers.1.{name}" for name in (*inner, *layers))}


def test_a_saved_model_places_strangers_as_before(tmp_path: Path) -> None:
    recommender = fit(NCFMLP(dim=4), LeaveLastOut("toys").apply(tiny_world(12)), epochs=2, lr=0.05)
    histories = [{"games": ["games3", "games4"]}, {"toys": ["toys1"]}]
    before = recommender.recommend(histories=histories, k=5).to_pydict()
    recommender.save(tmp_path / "run")
    loaded = type(recommender).load(tmp_path / "run", model=NCFMLP)
    assert loaded.recommend(histories=histories, k=5).to_pydict() == before
    assert before["item"][:5] != before["item"][5:] or before["score"][:5] != before["score"][5:]
