"""On a GPU: every trained model learns there, and what it has learned gives the scores that a CPU gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.dataset import Dataset
from crossrec.data.simulate import simulate
from crossrec.data.splits import Ratio
from crossrec.data.worlds import World
from crossrec.evaluation.evaluate import evaluate
from crossrec.recommender import Recommender
from crossrec.testing.law import law_split
from crossrec.train.fit import fit

if not torch.cuda.is_available():
    pytest.skip("there is no CUDA device", allow_module_level=True)


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = _beside("test_golden")
SAMPLERS = ("uniform", "popularity", "nncf", "augns", "srns", "dns", "dns_star", "mixgcf", "realhns")


def scores(run: Path, device: str) -> np.ndarray:
    """Of all items of the target for all users of the run."""
    recommender = Recommender.load(run, device=device)
    users = recommender.data.users.ids(np.arange(len(recommender.data.users))).to_pylist()
    items = recommender.data.items[recommender.target]
    return recommender.score(users, items.ids(np.arange(len(items))).to_pylist())


def trained(run: Path, model: str, **settings: Any) -> list[float]:
    """The losses of a run that is trained on the GPU; asserts that a CPU scores as it does."""
    losses: list[float] = []
    recommender = fit(
        model,
        law_split(),
        out=run,
        device="cuda",
        log=lambda record: losses.extend([record["loss"]] if "loss" in record else []),
        **settings,
    )
    assert np.isfinite(evaluate(recommender, law_split().test).rank_N).all()
    on_cpu = scores(run, "cpu")
    assert np.abs(scores(run, "cuda") - on_cpu).max() <= 1e-3 * max(np.abs(on_cpu).max(), 1)
    return losses


@pytest.mark.parametrize("name", GOLDEN.CURVES)
def test_trains_and_scores_as_on_a_cpu(name: str, tmp_path: Path) -> None:
    model, preset, settings, training = GOLDEN.CURVES[name]
    training = {**GOLDEN.TRAINING, **training, "epochs": training.get("epochs", 6), "first_eval": 2}
    losses = trained(tmp_path / "run", model, preset=preset, model_settings=settings, **training)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_negatives_are_drawn_there(name: str, tmp_path: Path) -> None:
    settings = {"dim": 8, "max_len": 20, "source_epochs": 2} if name == "realhns" else {"dim": 8, "max_len": 20}
    model = "twotower" if name == "realhns" else "sasrec"
    trained(tmp_path / "run", model, sampler=name, model_settings=settings, loss="bpr", epochs=3, batch=16, negatives=2)


def test_a_plugin_looks_in_there(tmp_path: Path) -> None:
    settings = {"preference_settings": {"hidden": 8, "epochs": 2}, "model_settings": {"dim": 8, "max_len": 20}}
    trained(tmp_path / "run", "sasrec", plugin="pdrec", epochs=3, batch=16, **settings)


@pytest.mark.parametrize("task", ["ratings", "clicks"])
@pytest.mark.parametrize("name", ["biasmf", "lightgcn", "diagae"])
def test_tasks(name: str, task: str, tmp_path: Path) -> None:
    """The law's world has no ratings: the simulated one has."""
    law = {"interests": 4, "opinions": 1.0, "tail": 0.3}
    world = simulate(World(domains=["toys", "games"], users=80, items=40, seed=1, **law))
    split = Ratio("toys").apply(Dataset.from_frames(world.tables, time="timestamp", rating="rating"))
    recommender = fit(name, split, task=task, epochs=2, device="cuda", model_settings={"dim": 8})
    assert all(np.isfinite(value) for value in evaluate(recommender, split.test, task).summary().values())
