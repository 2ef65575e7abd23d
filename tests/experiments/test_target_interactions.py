"""Users by how many events of the target are known of them: the same buckets for every run, metric and task."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest
from scipy import stats

from crossrec.data.dataset import Dataset
from crossrec.data.simulate import simulate
from crossrec.data.splits import ColdTarget, LeaveLastOut, Ratio
from crossrec.data.worlds import World
from crossrec.errors import InputError
from crossrec.evaluation.evaluate import evaluate
from crossrec.evaluation.metrics import per_user
from crossrec.evaluation.run import evaluate_run
from crossrec.evaluation.statistics import bucket_of, interaction_buckets
from crossrec.experiments.compare import compare
from crossrec.train.fit import fit

LABELS = ["0", "1-2", "3-5", "6-10", "11 or more"]


def test_the_buckets_are_always_the_same_and_hold_everybody_once():
    length_U = np.arange(40)
    buckets = interaction_buckets(length_U)
    assert [bucket.label for bucket in buckets] == LABELS
    assert np.bincount(bucket_of(length_U, buckets)).tolist() == [1, 2, 3, 5, 29]
    for number, bucket in enumerate(buckets):
        inside_U = length_U[bucket_of(length_U, buckets) == number]
        assert (inside_U.min(), inside_U.max()) == (bucket.low, bucket.high)


@pytest.mark.parametrize(
    ("lengths", "labels"), [([4, 5, 12], ["3-5", "11 or more"]), ([1, 1], ["1-2"]), ([11], LABELS[4:])]
)
def test_what_nobody_is_in_is_left_out(lengths, labels):
    buckets = interaction_buckets(np.array(lengths))
    assert [bucket.label for bucket in buckets] == labels


def test_a_comparison_has_a_mean_per_bucket_its_users_and_a_paired_p(make_run):
    rng = np.random.default_rng(1)
    lengths = rng.integers(0, 30, 400)
    ranks = [rng.integers(1, 60, 400), rng.integers(1, 40, 400)]
    history = {"games": lengths.tolist(), "toys": rng.integers(0, 9, 400).tolist()}
    runs = [make_run(name, rank, history=history) for name, rank in zip(("one", "two"), ranks, strict=True)]
    found = compare(runs, "ndcg@10", by="target-interactions")
    assert [group.domain for group in found.groups] == ["games"] * 5
    assert [group.label for group in found.groups] == LABELS
    low_high = [(0, 0), (1, 2), (3, 5), (6, 10), (11, 99)]
    values = [per_user("ndcg@10", rank.astype(float), np.full(400, 100)) for rank in ranks]
    for (low, high), group, lift in zip(low_high, found.groups, found.pairs[0].groups, strict=True):
        inside = (lengths >= low) & (lengths <= high)
        assert group.users == lift.users == inside.sum()
        assert [mean.value for mean in group.means] == pytest.approx([value[inside].mean() for value in values])
        assert lift.p == pytest.approx(stats.ttest_rel(values[1][inside], values[0][inside]).pvalue)


def test_what_does_not_fit_is_said(make_run):
    runs = [make_run(name, [1, 2, 3], history={"toys": [1, 2, 3]}) for name in ("one", "two")]
    with pytest.raises(InputError, match="do not say what is known of users in 'games'"):
        compare(runs, by="target-interactions")
    with pytest.raises(InputError, match="Did you mean 'target-interactions'"):
        compare(runs, by="target-interaction")


@pytest.fixture(scope="module")
def data():
    world = World(domains=["toys", "games"], users=90, items=120, events=7, interests=5, opinions=1.0, seed=3)
    return Dataset.from_frames(simulate(world).tables, time="timestamp", rating="rating")


@pytest.mark.parametrize(
    ("split", "task", "protocol"),
    [
        (Ratio, "ratings", "ratings"),
        (Ratio, "clicks", "clicks"),
        (ColdTarget, "ratings", "ratings"),
        (LeaveLastOut, None, "full"),
    ],
)
def test_an_evaluation_is_taken_apart_and_nothing_is_lost(data, split, task, protocol):
    held = split("toys").apply(data)
    settings = {"task": task} if task else {}
    outcome = evaluate(fit("bprmf", held, epochs=1, model_settings={"dim": 4}, **settings), held.test, protocol)
    found = outcome.by_target_interactions()
    assert sum(share.users for share in found) == outcome.summary()["users"]
    known_N = held.test.history_lengths()["toys"]
    if split is ColdTarget:
        assert [(share.bucket.label, share.users) for share in found] == [("0", len(np.unique(held.test.user_N)))]
    for share in found:
        inside = (known_N >= share.bucket.low) & (known_N <= share.bucket.high)
        assert share.users == len(np.unique(held.test.user_N[inside]))
        if protocol == "ratings":
            error = np.abs(outcome.rating_N - outcome.predicted_N)[inside]
            assert share.figures["mae"] == pytest.approx(error.mean())
        elif protocol == "clicks":
            wanted = (outcome.positive_N[inside][:, None] > outcome.negative_N[inside]).mean()
            assert share.figures["auc"] == pytest.approx(wanted, abs=1e-3)


def test_known_events_of_a_result_are_training_events_of_the_target(data, tmp_path):
    """The column that buckets are made of, counted from the run's own data."""
    held = Ratio("toys").apply(data)
    fit("bprmf", held, task="ratings", epochs=1, model_settings={"dim": 4}, out=tmp_path / "run")
    table = evaluate_run(tmp_path / "run", "ratings").table()
    _, at = held.events.within(held.train, "toys")
    row, _ = held.events.within(held.train, "toys")
    trained = np.bincount(held.train.user_N[row], minlength=data.num_users)
    users = data.users.ids(np.arange(data.num_users)).to_pylist()
    own = dict(zip(users, trained.tolist(), strict=True))
    assert table["history_toys"].to_pylist() == [own[user] for user in table["user_id"].to_pylist()]
    assert len(at) == trained.sum()
    assert pc.min(table["history_toys"]).as_py() >= 1
