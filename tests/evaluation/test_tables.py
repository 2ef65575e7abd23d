"""Results tables as files: both forms, decimals, per cent."""

from __future__ import annotations

import pytest

from crossrec.errors import InputError
from crossrec.evaluation.tables import read_table


@pytest.fixture
def write(tmp_path):
    def _write(text: str, name: str = "table.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def test_a_column_per_metric(write):
    found = read_table(
        write("model,HR@5,note,Recall@10,mrr\nours,.31,best,0.4200,-\n\ntheirs,,,0.4,0.25\nnothing,,,,\n")
    )
    assert [(row.line, dict(row.name), dict(row.values)) for row in found.rows] == [
        (2, {"model": "ours", "note": "best"}, {"hr@5": 0.31, "hr@10": 0.42}),
        (4, {"model": "theirs", "note": ""}, {"hr@10": 0.4, "mrr": 0.25}),
    ]
    assert found.decimals == {"hr@5": 2, "hr@10": 4, "mrr": 2}
    assert found.rounding == pytest.approx({"hr@5": 0.005, "hr@10": 0.00005, "mrr": 0.005})
    assert (found.percent, found.whole) == (False, 1)


def test_a_line_per_metric(write):
    lines = "table,row,metric,protocol,mean,paper\n2,Pop,hr@5,full,0.10,0.2\n2,Pop,rmse,full,3,\n2,Pop,hr@5,all,0.30,\n"
    found = read_table(write(lines))
    assert [(row.line, row.name["protocol"], dict(row.values)) for row in found.rows] == [
        (2, "full", {"hr@5": 0.1}),
        (4, "all", {"hr@5": 0.3}),
    ]
    assert found.unchecked == ["rmse"]
    assert [dict(row.values) for row in read_table(write(lines), value="paper").rows] == [{"hr@5": 0.2}]


def test_rows_go_by_the_columns_that_one_names(write):
    path = write("model,seed,metric,value\nours,1,hr@5,0.3\nours,1,mrr@5,0.2\nours,2,hr@5,0.4\n")
    assert [dict(row.values) for row in read_table(path).rows] == [{"hr@5": 0.3, "mrr@5": 0.2}, {"hr@5": 0.4}]
    assert len(read_table(path, by=["seed"]).rows) == 2
    with pytest.raises(InputError, match=r"line 4: hr@5 of this row is in line 2 already"):
        read_table(path, by=["model"])


def test_decimals_are_those_of_the_text_unless_one_says_so(write):
    path = write("hr@5,hr@10,mrr\n0.3,1e-3,3.25e-05\n0.3125,0.5,1\n")
    assert read_table(path).decimals == {"hr@5": 4, "hr@10": 3, "mrr": 7}
    assert read_table(path, decimals=2).decimals == {"hr@5": 2, "hr@10": 2, "mrr": 2}


@pytest.mark.parametrize(
    "text, percent",
    [
        ("hr@5,mrr\n31.20,20.5\n0.9,0.4\n", True),
        ("hr@5,mrr\n1.2,0.5\n0.9,0.4\n0.8,0.4\n", False),
        ("hr@5,mrr\n120,0.5\n", False),
        ("auc\n61.2\n", True),
    ],
)
def test_per_cent_is_what_half_of_the_rows_say(write, text, percent):
    assert read_table(write(text)).percent is percent


def test_an_auc_of_another_unit_is_brought_into_that_of_the_table(write):
    found = read_table(write("hr@5,auc\n31.2,0.6123\n"))
    assert (dict(found.rows[0].values), found.decimals["auc"]) == ({"hr@5": 31.2, "auc": 61.23}, 2)
    found = read_table(write("hr@5,auc\n0.312,61.23\n"))
    assert (dict(found.rows[0].values), found.decimals["auc"]) == ({"hr@5": 0.312, "auc": 0.6123}, 4)


def test_tabs_part_the_cells_of_a_tsv(write):
    assert dict(read_table(write("model\thr@5\nours, too\t0.3\n", "table.tsv")).rows[0].name) == {"model": "ours, too"}
