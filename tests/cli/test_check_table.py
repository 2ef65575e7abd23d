"""crossrec check-table."""

from __future__ import annotations

from pathlib import Path

import pytest

PAPERS = Path(__file__).parents[2] / "papers"
WIDE = """domain,system,HR@5,NDCG@5,MRR@5,HR@20,NDCG@20,MRR@20
Movie,DDGHM,.3083,.2517,.2431,.3257,.2892,.2734
Movie,ours,.3083,.2517,.2330,.3257,.2567,.2347
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(WIDE)
    return path


def test_the_row_that_no_ranking_has_is_told_with_its_figures(crossrec, file):
    outcome = crossrec("check-table", file)
    assert (outcome.code, outcome.err) == (0, "")
    assert "2 rows of hr@5, ndcg@5, mrr@5, hr@20, ndcg@20, mrr@20; 4 decimals." in outcome.out
    [row] = [line for line in outcome.out.splitlines() if line.startswith("DDGHM")]
    assert row.split()[-4:] == ["6", "0.0303", "0.0029", "0.0274"]
    assert "mrr@20 - mrr@5 <= (hr@20 - hr@5) / 6" in row
    assert outcome.out.endswith("1 of 2 rows break a bound: no ranking has such figures.\n")
    assert "log2(7)" not in outcome.out
    assert "ndcg@20 - ndcg@5 <= (hr@20 - hr@5) / log2(7)" in crossrec("check-table", file, "--all").out


def test_json_has_every_broken_bound(crossrec, file):
    found = crossrec("check-table", file, "--json").json()
    assert (found["rows"], found["broken"], found["percent"]) == (2, 1, False)
    [row] = found["found"]
    assert (row["row"], row["line"]) == ({"domain": "Movie", "system": "DDGHM"}, 2)
    first = row["breaks"][0]
    assert (first["law"], first["bound"]) == ("gain", "mrr@20 - mrr@5 <= (hr@20 - hr@5) / 6")
    assert [round(first[name], 4) for name in ("figure", "limit", "by", "rounding")] == [0.0303, 0.0029, 0.0274, 0.0001]


def test_the_same_in_per_cent_and_a_line_per_metric(crossrec, file, tmp_path):
    head, *rows = [line.split(",") for line in WIDE.splitlines()]
    lines = ["row,metric,paper"]
    for _, system, *cells in rows:
        lines += [f"{system},{name},{100 * float(cell):.2f}" for name, cell in zip(head[2:], cells, strict=True)]
    path = tmp_path / "long.csv"
    path.write_text("\n".join(lines))
    outcome = crossrec("check-table", path)
    assert "2 decimals, in per cent" in outcome.out
    [row] = [line for line in outcome.out.splitlines() if line.startswith("DDGHM")]
    assert row.split()[-3:] == ["3.03", "0.29", "2.74"]


def test_fewer_decimals_forgive_more(crossrec, file):
    assert crossrec("check-table", file, "--decimals", 1, "--json").json()["broken"] == 0


def test_candidates_let_auc_be_checked(crossrec, tmp_path):
    path = tmp_path / "auc.csv"
    path.write_text("hr@10,auc\n0.500,0.400\n")
    assert crossrec("check-table", path, "--json").json()["broken"] == 0
    found = crossrec("check-table", path, "--candidates", 100, "--json").json()["found"]
    assert [one["bound"] for one in found[0]["breaks"]] == ["auc >= what hr@10 allows"]
    assert "line 2" in crossrec("check-table", path, "--candidates", 100).out


def test_ranks_between_two_are_allowed_where_one_says_so(crossrec, tmp_path):
    path = tmp_path / "ties.csv"
    path.write_text("hr@1,hr@2,ndcg@2\n0.0000,1.0000,0.7565\n")
    assert crossrec("check-table", path, "--json").json()["broken"] == 1
    assert crossrec("check-table", path, "--mid-ranks", "--json").json()["broken"] == 0


@pytest.mark.parametrize("paper", ["realhns", "pdrec"])
def test_printed_figures_of_the_papers_that_are_made_again_can_be_had(crossrec, paper):
    found = crossrec("check-table", PAPERS / paper / "expected.csv", "--candidates", 100, "--json").json()
    assert found["rows"] >= 50
    assert found["broken"] == 0


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("", [], "it is empty"),
        (
            "model,score\nours,0.3\n",
            [],
            "there is no column of a metric (hr@10, ndcg@10, mrr@5, mrr, auc, ...) and none",
        ),
        ("model,hr@5\nours,best\n", [], "line 2, column 'hr@5': 'best' is no number"),
        ("model,hr@5\nours,. 2390\n", [], "line 2, column 'hr@5': '. 2390' is no number"),
        ("model,hr@5\nours,inf\n", [], "line 2, column 'hr@5': 'inf' is no number"),
        ("row,metric,paper\nours,hr@5,x\n", [], "line 2, column 'paper': 'x' is no number"),
        ("model,hr@5\nours,0.3,0.4\n", [], "line 2: 3 cells, where the head has 2"),
        ('model,hr@5\n"ours,0.3\n', [], "it cannot be read as CSV"),
        ("model,hr@5,HR@5\nours,0.3,0.4\n", [], "two columns are hr@5"),
        ("model,hr@5\nours,\n", [], "there is no figure of a metric"),
        (
            "row,metric,paper\nours,rmse,3\n",
            [],
            "there is no figure of a metric like hr@10, ndcg@10, mrr@5, mrr or auc (its",
        ),
        ("row,metric,result\nours,hr@5,0.3\n", [], "there is no column mean nor paper nor value with the figures"),
        ("row,metric,paper\nours,hr@5,0.3\n", ["--value", "std"], "there is no column std with the figures"),
        ("model,hr@5\nours,0.3\n", ["--value", "std"], "Leave out the name 'std'"),
        (
            "model,hr@5\nours,0.3\n",
            ["--by", "modle"],
            "there is no column 'modle' to name rows by. Did you mean 'model'?",
        ),
        ("hr@50\n0.3\n", ["--candidates", "20"], "hr@50 among 20 candidates is always a hit"),
    ],
)
def test_bad_input_is_one_message(crossrec, tmp_path, text, options, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    outcome = crossrec("check-table", path, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_file_that_is_no_text(crossrec, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"hr@5\n\xff\xfe\x00")
    assert "it cannot be read as CSV" in crossrec("check-table", path).err
    assert "there is no such file" in crossrec("check-table", tmp_path).err


def test_help_fits_eighty_columns(crossrec):
    outcome = crossrec("check-table", "--help")
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 80
