"""A run of two targets on its way through the commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crossrec.runs import CONFIG, METRICS, RESULTS

MODEL = ("--target", "toys", "--model", "sasrec", "--set", "domains=merged")
TINY = ("--set", "dim=8", "--set", "epochs=2", "--set", "blocks=1", "--set", "negatives=16", "--set", "guard=none")
BOTH = ("--set", "also=[games]")


@pytest.fixture(scope="module")
def trained(crossrec, prepared, tmp_path_factory):
    """How the training of a run of two targets ended, and its folder; nobody changes it."""
    folder = tmp_path_factory.mktemp("both") / "run"
    return crossrec("train", prepared, *MODEL, *TINY, *BOTH, "--out", folder), folder


@pytest.fixture
def both(trained, tmp_path):
    """A copy that may be changed."""
    shutil.copytree(trained[1], tmp_path / "both")
    return tmp_path / "both"


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / METRICS).read_text().splitlines()]


def test_training_shows_every_target(trained):
    outcome, run = trained
    assert outcome.code == 0, outcome.err
    assert json.loads((run / CONFIG).read_text())["split"]["also"] == ["games"]
    assert "sasrec for toys and games from games" in outcome.err
    record = lines(run)[0]
    own, other = record["valid"]["ndcg@10"], record["valid_further"]["games"]["ndcg@10"]
    assert f"ndcg@10 {own:.4f}  games {other:.4f}  mean {record['valid_mean']:.4f}  best" in outcome.err
    best = lines(run)[lines(run)[-1]["valid"]["best_epoch"] - 1]
    kept = f"{best['valid']['ndcg@10']:.4f} (games: {best['valid_further']['games']['ndcg@10']:.4f})."
    assert f"of the weights that were kept: {kept}" in outcome.out


def test_resume_tells_the_same(crossrec, prepared, trained, both):
    again = crossrec("train", prepared, *MODEL, *TINY, *BOTH, "--out", both, "--resume", "--json").json()
    best = lines(both)[again["best_epoch"] - 1]
    assert (again["validation"], again["validation_further"]) == (best["valid"], best["valid_further"])
    alone = crossrec("train", prepared, *MODEL, *TINY, "--out", both, "--resume")
    assert alone.code == 2
    assert "other settings (split)" in alone.err


def test_evaluate_prints_a_block_per_target(crossrec, both):
    outcome = crossrec("evaluate", both, "--protocol", "full", "--protocol", "sampled:20")
    blocks = outcome.out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        f"sasrec on {name}, test part of {both}" for name in ("toys", "games")
    ]
    assert all(block.splitlines()[1].split() == ["full", "sampled:20"] for block in blocks)
    assert {str(path.relative_to(both / RESULTS)) for path in (both / RESULTS).rglob("*.parquet")} == {
        "full.parquet",
        "sampled-20.parquet",
        "games/full.parquet",
        "games/sampled-20.parquet",
    }


def test_evaluate_as_json_has_the_runs_own_target_where_it_always_was(crossrec, both, run):
    told = crossrec("evaluate", both, "--json").json()
    alone = crossrec("evaluate", run, "--json").json()
    assert told.keys() - alone.keys() == {"further"}
    assert told["domain"] == alone["domain"] == "toys"
    assert told["protocols"]["full"].keys() == alone["protocols"]["full"].keys()
    assert told["further"].keys() == {"games"}
    assert told["further"]["games"]["protocols"]["full"].keys() == alone["protocols"]["full"].keys()
    valid = crossrec("evaluate", both, "--part", "valid", "--json").json()
    best = lines(both)[lines(both)[-1]["valid"]["best_epoch"] - 1]
    for figures, record in ((valid, best["valid"]), (valid["further"]["games"], best["valid_further"]["games"])):
        assert figures["protocols"]["full"]["ndcg@10"] == pytest.approx(record["ndcg@10"])


def test_the_authors_users_of_every_target(crossrec, both):
    told = crossrec("evaluate", both, "--protocol", "authors", "--json").json()
    for figures in (told, told["further"]["games"]):
        assert "none of the test events was trained on" in figures["protocols"]["authors"]["leak"]
    assert told["protocols"]["authors"]["users"] != told["further"]["games"]["protocols"]["authors"]["users"]


def test_runs_are_compared_in_the_target_that_is_named(crossrec, prepared, both, run, tmp_path):
    """One of two targets with one of the other alone: tested on the same events."""
    games = tmp_path / "games"
    words = ("--target", "games", "--model", "sasrec", *TINY, "--out", games)
    assert crossrec("train", prepared, *words).code == 0
    outcome = crossrec("compare", both, games, "--target", "games", "--json")
    told = outcome.json()
    assert told["domain"] == "games"
    assert "split differently" in outcome.err
    figures = [crossrec("evaluate", folder, "--json").json() for folder in (both, games)]
    ours, theirs = figures[0]["further"]["games"]["protocols"]["full"], figures[1]["protocols"]["full"]
    assert told["users"] == ours["users"] == theirs["users"]
    assert [mean["value"] for mean in told["means"]] == pytest.approx([ours["ndcg@10"], theirs["ndcg@10"]])
    assert crossrec("compare", both, run, "--json").json()["domain"] == "toys"
    mixed = crossrec("compare", both, games)
    assert mixed.code == 2
    assert "their domain differs" in mixed.err
    missing = crossrec("compare", both, run, "--target", "games")
    assert missing.code == 2
    assert "Nothing of 'games' is held out here" in missing.err


def test_report_shows_the_runs_own_target(crossrec, both, run, tmp_path):
    page = tmp_path / "report.html"
    assert crossrec("report", both, run, "--out", page).code == 0
    assert "ndcg@10 on toys" in page.read_text()


def test_last_merged_and_pinet(crossrec, prepared, tmp_path):
    run = tmp_path / "run"
    words = ("--split", "last-merged", "--set", "split.ties=order", "--set", "train.protocol=sampled:20")
    assert crossrec("train", prepared, *MODEL, *TINY, *BOTH, *words, "--out", run).code == 0
    told = crossrec("evaluate", run, "--protocol", "sampled:99", "--json").json()
    counts = [told["protocols"], told["further"]["games"]["protocols"]]
    split = json.loads((run / CONFIG).read_text())["split"]
    assert split == {"split": "last-merged", "target": "toys", "ties": "order", "also": ["games"]}
    assert sum(figures["sampled:99"]["users"] for figures in counts) <= 150
    words = ("--split", "windows", "--set", "days=90", "--set", "min_per_domain=2", "--set", "known=pinet")
    outcome = crossrec("train", prepared, *MODEL, *TINY, *BOTH, *words, "--out", tmp_path / "pinet")
    assert outcome.code == 0, outcome.err
    assert "held-out windows for toys" in outcome.err
    assert "full (leak)" in crossrec("evaluate", tmp_path / "pinet").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "also=[gamez]"), "Did you mean 'games'?"),
        (("--set", "also=[toys]"), "'toys' is a target already"),
        ((*BOTH, "--set", "predict=target"), "recommends in 'toys' alone. Leave 'games' out"),
        ((*BOTH, "--split", "ratio"), "There is no setting 'also'"),
        (("--split", "windows", "--set", "known=pinnet"), "must be one of 'prefix', 'pinet'"),
    ],
)
def test_bad_input(crossrec, prepared, tmp_path, words, said):
    outcome = crossrec("train", prepared, *MODEL, *words, "--out", tmp_path / "run")
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not (tmp_path / "run").exists()
