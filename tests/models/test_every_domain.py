"""What holds for all models of histories that read, learn and serve every domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batcher
from crossrec.data.splits import LeaveLastOut
from crossrec.models.table import MODELS
from crossrec.testing.batches import training_batch
from crossrec.testing.law import law_split
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

MERGED = {"domains": "merged"}
ALL: dict[str, tuple[str, dict[str, Any]]] = {
    "bert4rec": ("bert4rec", MERGED),
    "c2dsr": ("c2dsr", {}),
    "dagcn": ("dagcn", {}),
    "datmdi": ("datmdi", {}),
    **{f"ddghm-{variant}": ("ddghm", {"variant": variant}) for variant in ("full", "local", "global", "gru")},
    "pinet": ("pinet", {}),
    "psjnet": ("psjnet", {}),
    "srgnn": ("srgnn", MERGED),
}
"""Name and settings."""
PRESETS = [(name, preset) for name in sorted({name for name, _ in ALL.values()}) for preset in MODELS[name].presets]


@dataclass(frozen=True)
class Learner:
    """A model, how it is trained for a moment, and what it must then be able to do."""

    name: str
    model: dict[str, Any]
    train: dict[str, Any]
    share: float
    """Of the right items, how many must be first."""
    loss: float = np.inf
    """What the last loss must be below."""
    world: dict[str, Any] = field(default_factory=dict)


OVERFIT = (
    Learner("c2dsr", {"dim": 32, "weight": 0.95}, {"epochs": 60, "lr": 1e-2}, 0.95, 1.5, {"seed": 1}),
    Learner("dagcn", {"dim": 16}, {"epochs": 120, "lr": 2e-2}, 0.97, 0.1),
    Learner("datmdi", {"dim": 16}, {"epochs": 40, "lr": 2e-2}, 0.95, 0.3),
    Learner("pinet", {"dim": 32}, {"epochs": 50, "lr": 1e-2}, 0.95),
    Learner("psjnet", {"dim": 32}, {"epochs": 50, "lr": 1e-2}, 0.95),
)
TOLD = (
    Learner("datmdi", {"dropout": 0.0}, {"epochs": 40, "lr": 2e-2, "batch": 30}, 0.4),
    Learner("ddghm", {"lambda_col": 0.0, "lambda_con": 0.0}, {"epochs": 30, "lr": 1e-2, "batch": 6}, 0.4),
    Learner("pinet", {"dropout": 0.0}, {"epochs": 40, "lr": 1e-2, "batch": 10}, 0.8),
    Learner("psjnet", {"dropout": 0.0}, {"epochs": 40, "lr": 1e-2, "batch": 10}, 0.4),
)


def finite(model: torch.nn.Module) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


@pytest.mark.parametrize("domains", [1, 2, 3])
@pytest.mark.parametrize("name", ALL)
def test_any_number_of_domains_is_trained_and_served(name: str, domains: int) -> None:
    model, settings = ALL[name]
    names = ("toys", "games", "books")[:domains]
    split = LeaveLastOut("toys").apply(tiny_world(users=12, sizes=dict.fromkeys(names, 12)))
    recommender = fit(model, split, model_settings={"dim": 4, **settings}, epochs=1, batch=6)
    assert recommender.model.serves() == names
    for domain in names:
        assert recommender.recommend(users=["u1"], domain=domain, k=3).num_rows == 3
    assert finite(recommender.model)


@pytest.mark.parametrize("name", [name for name, (_, settings) in ALL.items() if settings == MERGED])
def test_a_model_of_the_target_knows_no_other_domain(name: str) -> None:
    model = MODELS[name](dim=4).build(tiny_world().catalogue, "toys", ["games"])
    assert model.serves() == ("toys",)
    assert len(model.table.weight) == 1 + 30


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_is_trained(name: str, preset: str) -> None:
    settings = {"dim": 4, "max_len": 10}
    assert finite(fit(name, law_split(), preset=preset, model_settings=settings, epochs=1).model)


@pytest.mark.parametrize("given", OVERFIT, ids=lambda given: given.name)
def test_overfits_a_few_users(given: Learner) -> None:
    """The right next item first, in every domain."""
    split = LeaveLastOut("toys").apply(tiny_world(users=20, **given.world))
    losses: list[float] = []
    settings, epochs = {"dropout": 0.0, **given.model}, given.train["epochs"]
    train = {"batch": 20, "eval_every": epochs, "first_eval": epochs, **given.train}
    model = fit(given.name, split, model_settings=settings, log=lambda r: losses.append(r["loss"]), **train).model
    assert losses[-1] < given.loss
    batch = training_batch(model, split)
    with torch.no_grad():
        for name in model.serves():
            block = model.block(name)
            asked = (batch.positive_P >= block.start) & (batch.positive_P < block.stop)
            first_P = model.scores(batch, name)[asked].argmax(1) + block.start
            assert float((first_P == batch.positive_P[asked]).double().mean()) > given.share


@pytest.mark.parametrize("given", TOLD, ids=lambda given: given.name)
def test_learns_what_only_the_other_domain_tells(given: Learner) -> None:
    """Toys are random but for the number of the game just before: a fifth is chance, and all that toys alone can know."""
    rng, histories = np.random.default_rng(0), []
    for _ in range(60):
        pairs = enumerate(rng.integers(5, size=4).tolist())
        histories.append([(name, item, t) for t, item in pairs for name in ("games", "toys")])
    split = LeaveLastOut("toys").apply(world_of(histories, {"toys": 5, "games": 5}, timed=False))
    recommender = fit(given.name, split, model_settings={"dim": 16, **given.model}, eval_every=10, **given.train)
    batch = next(Batcher(split.events, recommender.model.views()).queries(split.test, 60))
    with torch.no_grad():
        best_P = recommender.model.scores(batch, "toys").argmax(1) + recommender.model.block("toys").start
    assert float((best_P == batch.positive_P).double().mean()) > given.share
