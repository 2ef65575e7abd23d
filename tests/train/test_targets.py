"""A run of several targets: what chooses the epoch, what is recorded, what is seen, and who can be asked."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from crossrec.data.splits import LastMerged, LeaveLastOut, Split, Windows
from crossrec.errors import InputError
from crossrec.evaluation.metrics import per_user
from crossrec.evaluation.protocols import Ranking
from crossrec.evaluation.run import evaluate_run
from crossrec.recommender import Recommender
from crossrec.runs import read_metrics
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit

WINDOWS = Windows("toys", days=8 / 86_400, min_per_domain=2, also=("games",))


@pytest.fixture(scope="module")
def both() -> Split:
    return LeaveLastOut("toys", also=("games",)).apply(tiny_world(users=60, events=24))


@pytest.fixture(scope="module")
def merged(tiny):
    """Arguments for a model that recommends in both domains."""
    return {**tiny, "model_settings": {**tiny["model_settings"], "predict": "all"}}


@pytest.fixture(scope="module")
def run(both, merged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets") / "run"
    fit("sasrec", both, out=folder, **merged)
    return folder


def test_the_epoch_of_the_best_mean_is_kept(run):
    records = read_metrics(run)
    means = [(record["valid"]["ndcg@10"] + record["valid_further"]["games"]["ndcg@10"]) / 2 for record in records]
    assert [record["valid_mean"] for record in records] == pytest.approx(means)
    best = max(range(len(means)), key=lambda at: (means[at], at))
    assert Recommender.load(run).info["best_epoch"] == records[best]["epoch"]
    assert [record["valid"]["best_epoch"] for record in records][-1] == records[best]["epoch"]


@pytest.mark.parametrize("chosen", ["toys", "games"])
def test_neither_target_chooses_alone(both, merged, monkeypatch, chosen):
    """Of three epochs the second is the best mean, whichever target prefers another."""
    planted = {"toys": [0.1, 0.5, 0.6], "games": [0.5, 0.4, 0.1]}
    if chosen == "games":
        planted = {"toys": planted["games"], "games": planted["toys"]}
    values = iter([planted[name][epoch] for epoch in range(3) for name in ("toys", "games")])

    monkeypatch.setattr(Ranking, "value", lambda ranking, metric: next(values))
    assert fit("sasrec", both, **{**merged, "epochs": 3}).info["best_epoch"] == 2


@pytest.mark.parametrize("kind", [LeaveLastOut("toys", also=("games",)), LastMerged("toys", also=("games",)), WINDOWS])
def test_what_validation_said_is_what_the_run_ranks(kind, merged, tmp_path):
    """Ties in time stand in another order for every target: each is asked on its own."""
    split = kind.apply(tiny_world(users=60, events=24))
    fit("sasrec", split, out=tmp_path / "run", **merged)
    recommender = Recommender.load(tmp_path / "run")
    record = read_metrics(tmp_path / "run")[recommender.info["best_epoch"] - 1]
    for target, told in (("toys", record["valid"]), ("games", record["valid_further"]["games"])):
        ranking = evaluate_run(tmp_path / "run", "full", "valid", recommender, target)
        assert ranking.part.target == target
        assert told["users"] == len(ranking.rank_N) == len(split.held(target).valid)
        assert told["ndcg@10"] == pytest.approx(per_user("ndcg@10", ranking.rank_N, ranking.candidates_N).mean())


def test_a_phase_is_validated_in_the_targets_that_it_trains(both, merged):
    records = []
    fit("sasrec", both, log=records.append, **merged | {"epochs": 1, "model_settings": {"dim": 8, "domains": "merged"}})
    assert {record["phase"]: sorted(record.get("valid_further", ())) for record in records} == {
        "own": [],
        "merged": ["games"],
        "blend": ["games"],
    }
    assert all(("valid_mean" in record) == ("valid_further" in record) for record in records)


def test_one_target_is_recorded_as_ever(both, merged):
    records = []
    fit("sasrec", LeaveLastOut("toys").apply(both.data), log=records.append, **merged | {"epochs": 1})
    assert list(records[0]) == ["phase", "epoch", "epochs", "loss", "seconds", "cpu_seconds", "valid"]


@pytest.mark.parametrize("guard", ["none", "choose"])
def test_a_stopped_run_of_two_targets_goes_on_exactly(both, merged, goes_on, guard):
    settings = {"dim": 8, "blocks": 1, "domains": "merged", "guard": guard}
    arguments = {**merged, "epochs": 2, "patience": 1, "model_settings": settings}
    goes_on(partial(fit, "sasrec", both, **arguments))


def test_the_test_parts_are_out_of_reach_of_training(both, merged, trained_on):
    fit("sasrec", both, **merged | {"epochs": 1})
    assert [len(trained_on[0].held(name).test) for name in trained_on[0].targets] == [0, 0]
    assert [len(trained_on[0].held(name).valid) for name in trained_on[0].targets] == [
        len(both.valid),
        len(both.held("games").valid),
    ]


@pytest.mark.parametrize("kind", [LeaveLastOut("toys", also=("games",)), LastMerged("toys", also=("games",)), WINDOWS])
def test_whatever_the_test_events_are_the_same_model_comes_out(kind, merged):
    data = dataclasses.replace(tiny_world(users=60, events=24), rating_E=None)
    split = kind.apply(data)
    numbered = kind.apply(dataclasses.replace(data, rating_E=np.arange(data.num_interactions, dtype=np.float32)))
    parts = [numbered.held(name).test for name in numbered.targets]
    tests = np.concatenate([part.events.rating_E[part.at_N] for part in parts]).astype(int)
    item_E = np.array(data.item_E)
    for name in data.domains:
        block = data.catalogue.block(name)
        own = tests[np.isin(item_E[tests], block)]
        item_E[own] = block.start + (item_E[own] - block.start + 7) % len(block)
    changed = kind.apply(dataclasses.replace(data, item_E=item_E))
    for name in split.targets:
        assert not np.array_equal(changed.held(name).test.item_N, split.held(name).test.item_N)
    one, other = (fit("sasrec", each, **merged).model.state_dict() for each in (split, changed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("model", "changed"),
    [
        ("sasrec", {"model_settings": {"dim": 8}}),
        ("sasrec", {"model_settings": {"dim": 8, "domains": "merged", "predict": "target"}}),
        ("sasrec", {"model_settings": {"dim": 8, "domains": "merged"}, "sources": ["books"]}),
        ("twotower", {"model_settings": {"dim": 8}}),
        ("pop", {"model_settings": {}}),
    ],
)
def test_a_model_that_does_not_recommend_in_every_target_is_refused_before_training(model, changed, tmp_path):
    data = tiny_world(users=40, sizes={"toys": 10, "games": 10, "books": 10}, events=30)
    split, seen = LeaveLastOut("toys", also=("games",)).apply(data), []
    said = r"holds out in 'toys', 'games', and .* recommends in .* alone\. Leave 'games' out"
    with pytest.raises(InputError, match=said):
        fit(model, split, log=seen.append, out=tmp_path / "run", **changed)
    assert not seen
    assert not (tmp_path / "run").exists()
