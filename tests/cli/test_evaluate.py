"""crossrec evaluate, compare and report."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from crossrec.data.splits import AuthorsLeaveLastOut
from crossrec.recommender import Recommender
from crossrec.runs import CONFIG, INFO, RESULTS


@pytest.fixture
def copy(run, tmp_path):
    """A run that may be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns(RESULTS))
    return folder


def test_evaluate_saves_every_user(crossrec, copy):
    told = crossrec("evaluate", copy, "--protocol", "full", "--protocol", "sampled:20", "--json").json()
    assert list(told["protocols"]) == ["full", "sampled:20"]
    saved = pq.read_table(copy / RESULTS / "full.parquet")
    assert saved.num_rows == told["protocols"]["full"]["users"]
    hits = sum(rank <= 10 for rank in saved["rank"].to_pylist()) / saved.num_rows
    assert told["protocols"]["full"]["hr@10"] == pytest.approx(hits)
    assert told["protocols"]["full"]["negatives_hash"] is None
    about = json.loads(pq.read_schema(copy / RESULTS / "sampled-20.parquet").metadata[b"crossrec"])
    assert about["negatives_hash"] == told["protocols"]["sampled:20"]["negatives_hash"]


def test_evaluate_for_people(crossrec, copy):
    outcome = crossrec("evaluate", copy, "--protocol", "full", "--protocol", "sampled:20")
    lines = outcome.out.splitlines()
    assert lines[1].split() == ["full", "sampled:20"]
    row = next(line for line in lines if line.startswith("ndcg@10")).split()
    assert float(row[2]) > float(row[1])
    assert "LEAK" not in outcome.out
    assert "CAUTION" not in outcome.out


def test_validation_part_is_ranked_but_not_saved(crossrec, copy):
    told = crossrec("evaluate", copy, "--part", "valid", "--json").json()
    best = json.loads((copy / INFO).read_text())["best_epoch"]
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    assert told["protocols"]["full"]["ndcg@10"] == pytest.approx(lines[best - 1]["valid"]["ndcg@10"])
    assert not (copy / RESULTS).exists()


def test_a_leak_is_said_loudly(crossrec, leaky):
    outcome = crossrec("evaluate", leaky)
    assert "LEAK: Authors' protocol: the checkpoint was chosen on the test events" in outcome.out
    assert "full (leak)" in outcome.out
    outcome = crossrec("evaluate", leaky, "--json")
    assert "LEAK: " in outcome.err
    assert "chosen on the test events" in outcome.json()["protocols"]["full"]["leak"]


def test_an_honest_run_under_the_authors_protocol(crossrec, copy):
    told = crossrec("evaluate", copy, "--protocol", "authors", "--json").json()["protocols"]["authors"]
    expected = AuthorsLeaveLastOut("toys").apply(Recommender.load(copy).data)
    assert told["users"] == len(expected.test)
    assert "none of the test events was trained on" in told["leak"]
    outcome = crossrec("evaluate", copy, "--protocol", "authors", "--part", "valid")
    assert outcome.code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--protocol", "fool"], "There is no protocol 'fool'"),
        (["--protocol", "sampled:5000"], "negatives cannot be drawn"),
        (["--part", "tset"], "Did you mean 'test'?"),
    ],
)
def test_bad_input(crossrec, copy, words, said):
    outcome = crossrec("evaluate", copy, *words)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_run_that_has_not_finished(crossrec, copy):
    (copy / INFO).unlink()
    outcome = crossrec("evaluate", copy)
    assert outcome.code == 2
    assert "resume it" in outcome.err


def test_another_split_than_the_run_was_trained_under_is_refused(crossrec, copy):
    recipe = json.loads((copy / CONFIG).read_text())
    recipe["split"]["min_history"] = 3
    (copy / CONFIG).write_text(json.dumps(recipe))
    outcome = crossrec("evaluate", copy)
    assert outcome.code == 2
    assert "is not the one that the run was trained under" in outcome.err


def test_compare_evaluates_what_is_missing(crossrec, copy, merged):
    outcome = crossrec("compare", copy, merged, "--json")
    assert f"Evaluating {copy} under the protocol full" in outcome.err
    told = outcome.json()
    means = [crossrec("evaluate", run, "--json").json()["protocols"]["full"]["ndcg@10"] for run in (copy, merged)]
    assert [mean["value"] for mean in told["means"]] == pytest.approx(means)
    assert told["pairs"][0]["difference"]["value"] == pytest.approx(means[1] - means[0])
    assert "Evaluating" not in crossrec("compare", copy, merged, "--json").err


def test_compare_for_people(crossrec, copy, merged):
    outcome = crossrec("compare", copy, merged, "--metric", "mrr", "--baseline", merged)
    assert outcome.code == 0
    assert "copy against merged" in outcome.out
    tables = [line for line in outcome.out.splitlines() if not line.endswith(".")]
    assert max(map(len, tables)) <= 80
    assert "p, corrected" in outcome.out


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--metric", "ndgc@10"], "There is no metric"), (["--baseline", "nowhere"], "is none of the runs")],
)
def test_compare_names_the_mend(crossrec, copy, merged, words, said):
    outcome = crossrec("compare", copy, merged, *words)
    assert outcome.code == 2
    assert said in outcome.err


def test_compare_needs_two_runs(crossrec, copy):
    assert crossrec("compare", copy).code == 2


def test_report(crossrec, copy, merged, tmp_path):
    out = tmp_path / "pages" / "report.html"
    told = crossrec("report", copy, merged, "--out", out, "--json").json()
    assert told["report"] == str(out)
    page = out.read_text()
    assert "ndcg@10 on toys" in page
    assert "merged" in page
    assert crossrec("report", merged, "--out", tmp_path / "one.html").code == 0
