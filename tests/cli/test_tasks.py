"""Ratings and clicks on the command line: trained, measured, compared and reported without saying more than the task."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.simulate import simulate
from crossrec.data.worlds import World
from crossrec.experiments.compare import compare
from crossrec.experiments.results import read_results

TINY = ("--set", "dim=8", "--set", "epochs=2", "--split", "ratio")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A world whose users differ in what they think of an interest."""
    folder = tmp_path_factory.mktemp("opinions")
    world = World(domains=["toys", "games"], users=150, items=170, events=8, interests=5, opinions=1.5, seed=3)
    return Dataset.from_folder(simulate(world).write(folder / "logs")).save(folder / "prepared")


@pytest.fixture(scope="module")
def trained(crossrec, prepared, tmp_path_factory):
    """``trained("ratings", "--set", ...)``: a run, made once."""
    folder = tmp_path_factory.mktemp("tasks")

    def make(name: str, *options: str) -> Path:
        run = folder / name
        if not run.exists():
            done = crossrec("train", prepared, "--target", "toys", "--model", "bprmf", *TINY, *options, "--out", run)
            assert done.code == 0, done.err
        return run

    return make


@pytest.fixture
def rated(trained) -> Path:
    return trained("rated", "--set", "loss=mse", "--set", "row=user", "--seed", "1")


@pytest.fixture
def better(trained) -> Path:
    """Trained for long enough to have a smaller error."""
    return trained("better", "--set", "task=ratings", "--set", "epochs=25", "--set", "lr=0.03", "--set", "batch=32")


@pytest.fixture
def clicked(trained) -> Path:
    return trained("clicked", "--set", "task=clicks", "--seed", "1")


def test_progress_and_summary_tell_the_error(crossrec, prepared, tmp_path):
    command = ("train", prepared, "--target", "toys", "--model", "sasrec", "--set", "loss=mse", *TINY)
    done = crossrec(*command, "--out", tmp_path / "run", "--json")
    assert done.json()["metric"] == "mae"
    assert 0 < done.json()["validation"]["mae"] < 4
    assert "mae" in done.err


def test_print_config_shows_what_follows_from_the_task(crossrec, prepared):
    command = ("train", prepared, "--target", "toys", "--model", "sasrec", "--set", "task=clicks", *TINY)
    told = crossrec(*command, "--print-config").out
    assert "clicks" in told
    assert "auc" in told


def test_a_run_of_ratings_is_measured_by_its_errors(crossrec, rated):
    told = crossrec("evaluate", rated, "--json").json()["protocols"]["ratings"]
    assert {"mae", "rmse", "ndcg@5/rated", "ratings", "users", "baselines"} <= told.keys()
    assert told["baselines"].keys() == {"mean", "biases"}
    assert 0 < told["baselines"]["biases"]["mae"] < told["baselines"]["mean"]["mae"] < 4
    table = pq.read_table(rated / "results" / "ratings.parquet")
    assert {"user_id", "item_id", "rating", "predicted", "known", "history_games"} <= set(table.column_names)
    shown = crossrec("evaluate", rated).out
    assert "biases" in shown
    assert "rmse" in shown
    assert "leave" not in shown


def test_protocols_of_the_three_ndcg_stand_side_by_side(crossrec, rated):
    options = [word for name in ("ratings", "liked", "liked:20", "full") for word in ("--protocol", name)]
    told = crossrec("evaluate", rated, *options, "--json").json()["protocols"]
    assert "ndcg@5/rated" in told["ratings"]
    assert "ndcg@5/full" in told["liked"]
    assert "ndcg@5/neg20" in told["liked:20"]
    assert told["liked"]["negatives_hash"] is None
    assert told["liked:20"]["negatives_hash"]
    assert crossrec("evaluate", rated, *options).code == 0


def test_a_run_of_clicks_is_measured_by_its_labels(crossrec, clicked):
    told = crossrec("evaluate", clicked, "--json").json()["protocols"]["clicks"]
    assert {"acc", "auc", "gauc", "pairs", "users", "negatives_hash"} <= told.keys()
    assert "negative_id" in pq.read_table(clicked / "results" / "clicks.parquet").column_names


def test_a_ranker_has_no_ratings_and_its_scores_are_no_probabilities(crossrec, trained):
    run = trained("ranker")
    refused = crossrec("evaluate", run, "--protocol", "ratings")
    assert refused.code == 2
    assert "--set task=ratings" in refused.err
    done = crossrec("evaluate", run, "--protocol", "clicks", "--json")
    assert "no probabilities" in done.err
    assert done.json()["protocols"]["clicks"]["auc"] >= 0


def test_of_errors_less_is_better(crossrec, rated, better):
    told = crossrec("compare", rated, better, "--metric", "mae", "--json").json()
    assert told["protocol"] == "ratings"
    pair = told["pairs"][0]
    assert pair["difference"]["value"] < 0
    assert pair["users"]["better"] > pair["users"]["worse"]
    assert pair["users"]["gain"] > 0 > pair["users"]["loss"]
    assert {group["verdict"] for group in pair["groups"]} <= {"helps", "no difference shown"}
    shown = crossrec("compare", rated, better).out
    assert "less is better" in shown
    assert "better predicts better than rated on toys: mae" in " ".join(shown.split())


def test_what_is_compared_of_a_pooled_metric_is_said(rated, better, clicked, trained, crossrec):
    other = trained("other", "--set", "task=clicks", "--set", "lr=0.02")
    assert any("root of the mean squared error" in note for note in compare([rated, better], "rmse").notes)
    assert crossrec("compare", clicked, other).code == 0
    found = compare([clicked, other])
    assert (found.protocol, found.metric) == ("clicks", "auc")
    assert any("AUC of their own pairs" in note for note in found.notes)
    ordered = compare([rated, better], "ndcg@5/rated")
    assert ordered.users < compare([rated, better]).users
    assert any("says nothing of them" in note for note in ordered.notes)


def test_results_tell_what_evaluate_told(crossrec, rated):
    told = crossrec("evaluate", rated, "--json").json()["protocols"]["ratings"]
    found = read_results(rated, "ratings")
    for metric in ("mae", "rmse", "ndcg@5/rated"):
        assert found.value(metric) == pytest.approx(told[metric])


@pytest.mark.parametrize("metric, said", [("ndcg@5/neg7", "no metric"), ("maee", "no metric")])
def test_a_metric_that_a_protocol_does_not_give_is_refused(crossrec, rated, better, metric, said):
    refused = crossrec("compare", rated, better, "--metric", metric, "--protocol", "ratings")
    assert refused.code == 2
    assert said in refused.err


def test_the_report_has_every_kind_of_result(crossrec, rated, better, tmp_path):
    crossrec("evaluate", rated, "--protocol", "full", "--protocol", "liked:20")
    done = crossrec("report", rated, better, "--out", tmp_path / "report.html")
    assert done.code == 0, done.err
    page = (tmp_path / "report.html").read_text()
    for words in ("ndcg@5/neg20", "rmse", "predicts better", "hr@10"):
        assert words in page


def test_ratings_beyond_the_scale_are_refused_by_place(crossrec, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "toys.csv").write_text("user_id,item_id,timestamp,rating\nu1,t1,1,5\nu1,t2,2,7\n")
    refused = crossrec("prepare", logs, "--rating-scale", "1,5", "--out", tmp_path / "prepared")
    assert refused.code == 2
    assert "toys.csv, row 2 (line 3), column 'rating': found 7.0" in refused.err
    assert crossrec("prepare", logs, "--rating-scale", "5", "--out", tmp_path / "prepared").code == 2
    assert crossrec("prepare", logs, "--rating-scale", "1,7", "--out", tmp_path / "prepared").code == 0
    again = crossrec("prepare", tmp_path / "prepared", "--rating-scale", "1,7", "--out", tmp_path / "again")
    assert "is prepared" in again.err


def test_simulate_plants_opinions(crossrec, tmp_path):
    world = ("simulate", "--users", "30", "--items", "120", "--opinions", "1.5", "--out", tmp_path / "world")
    assert crossrec(*world, "--json").json()["world"]["opinions"] == 1.5
    truth = pq.read_table(tmp_path / "world" / "truth" / "users.parquet")
    assert "opinions_toys" in truth.column_names
    assert json.loads((tmp_path / "world" / "truth" / "world.json").read_text())["world"]["opinions"] == 1.5


def test_users_are_told_apart_by_what_is_known_of_them_in_the_target(crossrec, rated, better):
    buckets = ["0", "1-2", "3-5", "6-10", "11 or more"]
    outcome = crossrec("compare", rated, better, "--by", "target-interactions")
    assert outcome.code == 0, outcome.err
    assert "mae by what is known of users in toys" in outcome.out
    told = crossrec("compare", rated, better, "--by", "target-interactions", "--json").json()
    labels = [group["label"] for group in told["groups"]]
    assert labels == [label for label in buckets if label in labels]
    assert sum(group["users"] for group in told["groups"]) == told["users"]
    assert [lift["label"] for lift in told["pairs"][0]["groups"]] == labels
    alone = crossrec("evaluate", rated, "--by", "target-interactions", "--json").json()
    shares = alone["protocols"]["ratings"]["by_target_interactions"]
    assert [share["events"] for share in shares] == labels
    assert [share["users"] for share in shares] == [group["users"] for group in told["groups"]]
    shown = crossrec("evaluate", rated, "--by", "target-interactions")
    assert "ratings, by the events of toys that are known of users" in shown.out
    wrong = crossrec("evaluate", rated, "--by", "interactions")
    assert wrong.code == 2
    assert "Users are not grouped by 'interactions'" in wrong.err
