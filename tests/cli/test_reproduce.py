"""crossrec reproduce."""

from __future__ import annotations

import csv
import shlex

import pytest

RECIPE = """
from crossrec.reproduction.recipe import Data, Recipe, Row

RECIPE = Recipe(
    paper="tiny",
    title="Tiny",
    data=(Data("logs", ("toys", "games")),),
    tables={"1": "what is printed", "2": "the rest"},
    rows=(
        Row("Pop", ("1",), "pop", seeds={"honest": 1, "authors": 1}),
        Row("KNN*", ("1", "2"), "itemknn", against=("Pop",)),
    ),
    metrics=("ndcg@10", "auc"),
    beware="Toys are not real.",
    why={("KNN*", "toys"): "it is tiny."},
)
"""
EXPECTED = "table,data,target,row,metric,paper,note\n1,logs,toys,Pop,ndcg@10,0.5,\n1,logs,toys,KNN*,ndcg@10,0.7,\n"


@pytest.fixture
def tiny(crossrec, logs, tmp_path, monkeypatch):
    """``tiny("--table", 1)``: the command on a paper of two rows, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSREC_DATA", str(logs.parent))
    paper = tmp_path / "papers" / "tiny"
    paper.mkdir(parents=True)
    (paper / "recipe.py").write_text(RECIPE)
    (paper / "expected.csv").write_text(EXPECTED)
    return lambda *words: crossrec("reproduce", "tiny", *words)


def test_ours_the_papers_the_gap_and_why(tiny, tmp_path):
    outcome = tiny("--table", "1", "--targets", "toys")
    assert outcome.code == 0, outcome.err
    with (tmp_path / "papers/tiny/results.csv").open(newline="") as file:
        line = next(line for line in csv.DictReader(file) if line["row"] == "KNN*")
    mean = float(line["mean"])
    row = next(text for text in outcome.out.splitlines() if text.startswith("KNN*"))
    assert row.split()[:5] == ["KNN*", f"{mean:.4f}", "(1)", "0.7000", f"{mean - 0.7:+.4f}"]
    assert row.split()[5] == "Pop"
    assert "- KNN* for toys: it is tiny." in outcome.out
    assert "Toys are not real." in outcome.out
    assert "Cell 2 of 2: KNN* for toys, honest" in outcome.err
    assert "QUICK" not in outcome.out


def test_json_is_one_object_with_every_cell(tiny):
    told = tiny("--protocol", "all", "--json").json()
    assert (told["paper"], told["quick"]) == ("tiny", False)
    cells = {(c["table"], c["target"], c["row"], c["protocol"], c["metric"]): c for c in told["cells"]}
    assert len(cells) == len(told["cells"])
    assert cells["1", "toys", "Pop", "sampled:99", "ndcg@10"]["paper"] == 0.5
    assert cells["1", "toys", "Pop", "full", "ndcg@10"]["gap"] is None
    assert cells["1", "toys", "Pop", "authors", "ndcg@10"]["leak"]
    assert cells["2", "games", "KNN*", "full", "auc"]["tests"][0]["against"] == "Pop"


def test_the_command_of_a_line_measures_it_again(tiny, crossrec, tmp_path):
    tiny("--protocol", "all")
    with (tmp_path / "papers/tiny/results.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    line = next(line for line in written if (line["table"], line["row"], line["target"]) == ("2", "KNN*", "games"))
    words = shlex.split(line["command"])[1:]
    cells = crossrec(*words, "--json").json()["cells"]
    names = ("table", "data", "target", "row")
    assert {tuple(cell[name] for name in names) for cell in cells} == {tuple(line[name] for name in names)}
    again = next(c for c in cells if (c["metric"], c["protocol"]) == (line["metric"], line["protocol"]))
    assert again["mean"] == pytest.approx(float(line["mean"]), abs=1e-6)


def test_quick_is_marked(tiny, tmp_path):
    outcome = tiny("--rows", "pop", "--targets", "toys", "--quick")
    assert "QUICK" in outcome.out
    assert not (tmp_path / "papers/tiny/results.csv").exists()
    assert (tmp_path / "runs/tiny/quick/results.csv").is_file()


def test_the_leak_is_said(tiny):
    outcome = tiny("--rows", "pop", "--targets", "toys", "--protocol", "authors")
    assert outcome.out.startswith("LEAK: ")
    assert "toys, authors (LEAK), ndcg@10" in outcome.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--table", "3"], "There is no table '3'. Known: 1, 2."),
        (["--rows", "KNN"], "Did you mean 'KNN*'?"),
        (["--table", "2", "--rows", "pop"], "There is no row in table 2 'pop'"),
        (["--targets", "toyz"], "Did you mean 'toys'?"),
        (["--protocol", "author"], "Did you mean 'authors'?"),
        (["--data", "nowhere"], "Name their folder with --data"),
        (["--device", "gpu"], "The device 'gpu' cannot be used here"),
        (["--quick", "--results", "own.csv"], "leave --results out"),
    ],
)
def test_bad_input_names_the_nearest(tiny, tmp_path, words, said):
    outcome = tiny(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not list(tmp_path.rglob("run.json"))


def test_an_unknown_paper(crossrec):
    outcome = crossrec("reproduce", "realhsn")
    assert outcome.code == 2
    assert "Did you mean 'realhns'?" in outcome.err


def test_an_interruption_says_how_to_go_on(tiny, monkeypatch):
    from crossrec.reproduction import trainings

    def interrupted(*given: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainings, "fit", interrupted)
    outcome = tiny()
    assert (outcome.code, outcome.out) == (130, "")
    assert "The same command goes on" in outcome.err
