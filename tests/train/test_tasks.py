"""Ratings and clicks as tasks: any model learns them, what is not said follows from the task, and errors are chosen low."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batcher, TrainingRows
from crossrec.data.dataset import Dataset
from crossrec.data.simulate import simulate
from crossrec.data.splits import AuthorsLeaveLastOut, ColdTarget, GlobalTime, Ratio, Split
from crossrec.data.worlds import World
from crossrec.errors import DataError, InputError
from crossrec.evaluation.clicks import Clicks
from crossrec.evaluation.evaluate import evaluate
from crossrec.evaluation.outcome import Outcome
from crossrec.evaluation.ratings import Ratings
from crossrec.evaluation.run import evaluate_run
from crossrec.models.bprmf import BPRMF
from crossrec.models.sasrec import SASRec
from crossrec.nn import losses
from crossrec.recommender import Recommender
from crossrec.runs import read_metrics
from crossrec.samplers.uniform import Uniform
from crossrec.testing.worlds import tiny_world
from crossrec.train.assemble import Asked
from crossrec.train.fit import fit
from crossrec.train.objective import Parts, loss_of
from crossrec.train.phases import fingerprint
from crossrec.train.settings import TrainConfig

SMALL = {"model_settings": {"dim": 8}, "epochs": 2, "seed": 1}


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Users who differ in what they think of four interests."""
    law = {"interests": 4, "opinions": 1.5, "drift": 0.0, "tail": 0.3, "overlap": 1.0}
    world = World(users=150, items=60, events=20, seed=1, **law)
    return Dataset.from_frames(simulate(world).tables, time="timestamp", rating="rating")


@pytest.fixture(scope="module")
def split(data) -> Split:
    return Ratio("toys").apply(data)


def test_a_model_beats_the_biases_where_taste_was_planted(split, tmp_path):
    settings = {"model_settings": {"dim": 8}, "epochs": 20, "batch": 32, "lr": 1e-2, "seed": 1}
    fit("bprmf", split, loss="mse", out=tmp_path / "run", **settings)
    found = evaluate_run(tmp_path / "run", "ratings")
    assert isinstance(found, Ratings)
    for name in ("mean", "biases"):
        assert found.value("mae") < 0.95 * found.baselines[name]["mae"]
        assert found.value("rmse") < 0.95 * found.baselines[name]["rmse"]


def test_clicks_are_told_from_what_never_happened(split):
    fitted = fit("bprmf", split, task="clicks", model_settings={"dim": 8}, epochs=15, batch=32, lr=1e-2, seed=1)
    found = evaluate(fitted, split.test, "clicks").summary()
    assert found["auc"] > 0.7
    assert found["gauc"] > 0.7
    assert found["acc"] > 0.6


@pytest.mark.parametrize("task", ["ratings", "clicks"])
@pytest.mark.parametrize(
    "model, settings",
    [
        ("sasrec", {"blocks": 1}),
        ("sasrec", {"blocks": 1, "domains": "merged"}),
        ("gru4rec", {}),
        ("cl4srec", {"blocks": 1}),
        ("bprmf", {"domains": "merged"}),
        ("twotower", {}),
    ],
)
def test_any_model_learns_any_task(split, task, model, settings):
    records = []
    fitted = fit(model, split, task=task, model_settings={"dim": 8, **settings}, epochs=1, seed=1, log=records.append)
    assert fitted.recipe["train"]["task"] == task
    assert {"ratings": "mae", "clicks": "auc"}[task] in records[-1]["valid"]
    values = evaluate(fitted, split.test, task).summary()
    assert np.isfinite(list(values.values())).all()


@pytest.mark.parametrize("kind", [ColdTarget("toys"), GlobalTime("toys", per_user="all"), Ratio("toys", by="time")])
@pytest.mark.parametrize("task", ["ratings", "clicks"])
def test_splits_with_several_held_out_events_of_a_user_serve_any_task(data, kind, task):
    held = kind.apply(data)
    assert len(np.unique(held.test.user_N)) < len(held.test)
    fitted = fit("sasrec", held, task=task, **SMALL)
    assert np.isfinite(evaluate(fitted, held.test, task).value("mae" if task == "ratings" else "gauc"))
    assert 0 <= evaluate(fitted, held.test, "liked:5").value("ndcg@5/neg5") <= 1


def test_the_loss_of_ratings_by_hand(split):
    model = SASRec(dim=8, blocks=1, dropout=0.0).build(split.data.catalogue, "toys", ["games"])
    batcher = Batcher(split.events, model.views())
    batch = TrainingRows(batcher, split.train, ["toys"], rated=True).batch(torch.arange(5))
    config = TrainConfig(task="ratings", loss="mse", rating_scale=(0, 10), rating_offset=0.5)
    found = loss_of(model, batch, Parts({"toys": None}), config, torch.Generator())
    logit_P = model.candidate_scores(batch, batch.positive_P[:, None])[:, 0]
    assert torch.allclose(found, ((0.5 + logit_P).sigmoid() - batch.rating_P / 10) ** 2, atol=1e-6)


def test_the_squared_error_of_clicks_by_hand():
    positive_P, negative_PK = torch.tensor([0.5, -1.0]), torch.tensor([[0.0, 1.0], [2.0, -torch.inf]])
    p, n = positive_P.sigmoid(), negative_PK.sigmoid()
    assert torch.allclose(losses.brier(positive_P, negative_PK), (1 - p) ** 2 + (n**2).mean(1))
    weight_P = torch.tensor([2.0, 0.0])
    expected = weight_P * (1 - p) ** 2 + (n**2).mean(1)
    assert torch.allclose(losses.brier(positive_P, negative_PK, weight_P=weight_P), expected)


def test_somebody_unknown_rates_as_people_do(split, tmp_path):
    """A score of 0 is the mean training rating; what was added to make it so is recorded, so that a resume knows it."""
    trained = np.zeros(len(split.events.item_E), bool)
    for start, stop in zip(split.train.start_N, split.train.stop_N, strict=True):
        trained[start:stop] = True
    mean = split.events.rating_E[trained & (split.events.domain_E == split.data.domains.index("toys"))].mean()
    fitted = fit("bprmf", split, loss="mse", epochs=1, out=tmp_path / "run", model_settings={"dim": 8})
    with torch.no_grad():
        for parameter in fitted.model.parameters():
            parameter.zero_()
    np.testing.assert_allclose(fitted.predict(["u000001"], ["toys-00001"]), mean, rtol=1e-4)
    np.testing.assert_allclose(evaluate(fitted, split.test, "ratings").predicted_N, mean, rtol=1e-4)
    assert fit("bprmf", split, loss="mse", epochs=1, out=tmp_path / "run", resume=True, model_settings={"dim": 8})
    plain = fit("bprmf", split, loss="mse", epochs=1, rating_offset=0.0, model_settings={"dim": 8})
    assert plain.recipe["train"]["rating_offset"] == 0.0


@pytest.mark.parametrize(
    "asked, expected",
    [
        ({"loss": "mse"}, {"task": "ratings", "loss": "mse", "protocol": "ratings", "metric": "mae"}),
        ({"task": "ratings"}, {"task": "ratings", "loss": "mse", "protocol": "ratings", "metric": "mae"}),
        ({"task": "ratings", "metric": "rmse"}, {"loss": "mse", "protocol": "ratings", "metric": "rmse"}),
        ({"task": "clicks"}, {"loss": "bce", "negatives": 1, "protocol": "clicks", "metric": "auc"}),
        ({"task": "clicks", "loss": "mse"}, {"task": "clicks", "loss": "mse", "negatives": 1, "metric": "auc"}),
        ({}, {"task": "ranking", "loss": "bpr", "negatives": 16, "protocol": "full", "metric": "ndcg@10"}),
    ],
)
def test_what_is_not_said_follows_from_the_task(asked, expected):
    parts = Asked("bprmf", settings={"train": asked}).assemble()
    assert {key: getattr(parts.train, key) for key in expected} == expected
    assert (parts.sampler is None) == (parts.train.task == "ratings")
    assert parts.model.config.row == ("session" if parts.train.task == "ranking" else "user")


def test_every_click_has_its_own_negatives():
    assert Asked("sasrec").assemble().sampler.config.shared
    sampler = Asked("sasrec", settings={"train": {"task": "clicks"}}).assemble().sampler
    assert isinstance(sampler, Uniform)
    assert not sampler.config.shared
    assert (
        Asked("sasrec", settings={"train": {"task": "clicks"}, "sampler": {"shared": True}})
        .assemble()
        .sampler.config.shared
    )


@pytest.mark.parametrize(
    "model, train, said",
    [
        ("sasrec", {"task": "ratings", "loss": "bce"}, "task=ratings is trained by loss=mse"),
        ("sasrec", {"task": "clicks", "loss": "softmax"}, "task=clicks is trained by loss=bce or mse"),
        ("sasrec", {"task": "ranking", "loss": "mse"}, "loss of ratings or of clicks"),
        ("sasrec", {"protocol": "ratings", "metric": "mae"}, "say task=ratings"),
        ("sasrec", {"task": "ratings", "rating_scale": [5, 1]}, "scale of ratings"),
        ("tdiffrec", {"task": "ratings"}, "its own loss, which is made for ranking"),
    ],
)
def test_what_does_not_fit_a_task_is_said(model, train, said):
    with pytest.raises(InputError, match=said):
        Asked(model, settings={"train": train}).assemble()


def test_a_plug_in_or_a_counting_model_has_no_place_in_ratings(split):
    with pytest.raises(InputError, match="leave it out"):
        fit("sasrec", split, plugin="pdrec", loss="mse")
    with pytest.raises(InputError, match="counts and is not trained"):
        fit("pop", split, loss="mse")


def test_logs_without_ratings_and_ratings_beyond_the_scale_are_refused(split):
    bare = Ratio("toys").apply(tiny_world())
    with pytest.raises(DataError, match="there is no rating, and this task learns from ratings"):
        fit("sasrec", bare, loss="mse", **SMALL)
    with pytest.raises(DataError, match="outside the scale of 2 to 5"):
        fit("sasrec", split, loss="mse", rating_scale=[2, 5], **SMALL)


def test_a_source_without_ratings_is_read_and_not_asked(data):
    rating_E = data.rating_E.copy()
    rating_E[data.catalogue.domain_of(data.item_E) == data.domains.index("games")] = np.nan
    held = Ratio("toys").apply(dataclasses.replace(data, rating_E=rating_E))
    fit("bprmf", held, loss="mse", model_settings={"dim": 8, "domains": "merged"}, epochs=1)
    with pytest.raises(InputError, match=r"The phase '[\w:]+' learns from ratings in 'games'"):
        fit("twotower", held, loss="mse", **SMALL)


def test_an_error_is_chosen_low_and_a_share_high(split, monkeypatch):
    """The first and the third epoch have the smallest and the largest value."""
    for kind in (Ratings, Clicks):
        monkeypatch.setattr(kind, "summary", lambda outcome, names=None: {"users": 1})
    for task, best in (("ratings", 1), ("clicks", 3)):
        values = iter([0.2, 0.5, 0.9])
        monkeypatch.setattr(Outcome, "value", lambda outcome, metric, values=values: next(values))
        fitted = fit("sasrec", split, task=task, eval_every=1, **{**SMALL, "epochs": 3})
        assert fitted.info["best_epoch"] == best


def test_patience_counts_epochs_without_a_smaller_error(split):
    records = []
    settings = {**SMALL, "epochs": 60, "eval_every": 1, "patience": 2, "lr": 0.05}
    fitted = fit("sasrec", split, loss="mse", log=records.append, **settings)
    errors = [record["valid"]["mae"] for record in records]
    assert len(errors) == fitted.info["best_epoch"] + 2 < 60
    assert min(errors) == errors[fitted.info["best_epoch"] - 1]


def test_a_run_of_ratings_resumes_exactly(split, tmp_path):
    settings = {**SMALL, "epochs": 3, "checkpoint_seconds": 0.0, "loss": "mse", "rating_scale": [0, 5]}
    whole = fit("sasrec", split, out=tmp_path / "whole", **settings)

    def stop(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit("sasrec", split, out=tmp_path / "killed", log=stop, **settings)
    resumed = fit("sasrec", split, out=tmp_path / "killed", resume=True, **settings)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])
    lines = [
        [line["valid"] for line in read_metrics(tmp_path / name) if "valid" in line] for name in ("whole", "killed")
    ]
    assert lines[0] == lines[1]


def test_runs_from_before_the_tasks_are_resumed_and_taken_over(split, tmp_path):
    """Their records know neither task nor scale, and equal those of today's runs that set neither."""
    fit("sasrec", split, out=tmp_path / "run", **SMALL)
    train = json.loads((tmp_path / "run" / "config.json").read_text())["train"]
    assert not {"task", "rating_scale"} & train.keys()
    assert TrainConfig(task="clicks").recorded()["task"] == "clicks"
    assert {"task", "rating_scale"} & TrainConfig(rating_scale=(0, 5)).recorded().keys() == {"rating_scale"}
    phase = BPRMF().build(split.data.catalogue, "toys").phases()[0]
    marks = {fingerprint({}, phase, config, None) for config in (TrainConfig(), TrainConfig(task="clicks"))}
    assert len(marks) == 2


def test_the_authors_protocol_is_not_forced_on_other_tasks(data):
    leaky = AuthorsLeaveLastOut("toys").apply(data)
    fitted = fit("sasrec", leaky, loss="mse", **SMALL)
    assert fitted.recipe["train"]["protocol"] == "ratings"


@pytest.mark.parametrize("task", ["ratings", "clicks"])
def test_a_recommender_predicts_what_it_was_trained_for(split, task, tmp_path):
    scale = {"rating_scale": [0, 10], "rating_offset": 0.0} if task == "ratings" else {}
    fit("sasrec", split, task=task, out=tmp_path / "run", **SMALL, **scale)
    loaded = Recommender.load(tmp_path / "run")
    users = split.data.users.ids(np.arange(4)).to_pylist()
    items = split.data.items["toys"].ids(np.arange(6)).to_pylist()
    chance = 1 / (1 + np.exp(-loaded.score(users, items)))
    np.testing.assert_allclose(loaded.predict(users, items), chance * (10 if task == "ratings" else 1), rtol=1e-5)
    if task == "clicks":
        with pytest.raises(InputError, match="no ratings"):
            evaluate(loaded, split.test, "ratings")


def test_a_ranker_predicts_nothing(split):
    fitted = fit("sasrec", split, **SMALL)
    with pytest.raises(InputError, match="trained to rank"):
        fitted.predict(["u000001"], ["toys-00001"])
