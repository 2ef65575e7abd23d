"""Tables made again: what is trained stays, what is missing is trained, what was measured is written down."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import threading
import time
from pathlib import Path

import pytest

from crossrec.data import locks
from crossrec.data.simulate import simulate
from crossrec.data.worlds import World
from crossrec.errors import InputError
from crossrec.evaluation.metrics import per_user
from crossrec.experiments.compare import compare
from crossrec.experiments.results import read_results
from crossrec.reproduction import trainings
from crossrec.reproduction.lines import COLUMNS
from crossrec.reproduction.reproduce import reproduce
from crossrec.runs import CONFIG, INFO, WEIGHTS
from crossrec.train.loop import Trainer

RECIPE = """
from crossrec.reproduction.recipe import Data, Recipe, Row

TINY = {"model.dim": 8, "model.blocks": 1, "train.epochs": 2, "train.negatives": 8}
TOWERS = {**TINY, "train.epochs": 1, "model.source_epochs": 1}
RECIPE = Recipe(
    paper="tiny",
    title="Tiny",
    data=(Data("shop", ("toys", "games")),),
    tables={"1": "what is printed", "2": "towers"},
    rows=(
        Row("Pop", ("1",), "pop", seeds={"honest": 1, "authors": 1}),
        Row("SASRec*", ("1",), "sasrec", settings=TINY, against=("Pop",), seeds={"honest": 2}, targets=("toys",)),
        Row("KNN", ("1", "2"), "itemknn", against=("SASRec*", "Pop")),
        Row("UNS", ("2",), "twotower", settings=TOWERS, targets=("toys",)),
        Row("NNCF", ("2",), "twotower", sampler="popularity", settings=TOWERS, start="UNS", against=("UNS",), targets=("toys",)),
    ),
    beware="Toys are not real.",
    why={("SASRec*", "toys"): "it is tiny."},
)
"""
EXPECTED = """table,data,target,row,metric,paper,note
1,shop,toys,Pop,ndcg@10,0.5,
1,shop,toys,Pop,hr@5,0.6,
1,shop,toys,SASRec*,ndcg@10,0.7,twice
1,shop,toys,KNN,ndcg@10,0.4,
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all") / "shop"
    simulate(World(domains=["toys", "games"], users=120, items=170, events=8, interests=5, seed=3)).write(folder)
    return folder


@pytest.fixture
def paper(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "recipe.py").write_text(RECIPE)
    (folder / "expected.csv").write_text(EXPECTED)
    return folder


@pytest.fixture
def make(paper, logs, tmp_path):
    def call(**chosen):
        return reproduce(str(paper), **{"data": logs, "runs": tmp_path / "runs", **chosen})

    return call


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def seed(tmp_path: Path, row: str, number: int = 1, target: str = "toys", variant: str = "honest") -> Path:
    return tmp_path / "runs" / target / variant / row / f"seed-{number}"


def fits(monkeypatch, stop_at: int = 0) -> list[Path]:
    """The run folders that are trained from now on; the training of this number is interrupted instead."""
    trained: list[Path] = []
    fit = trainings.fit

    def watched(*given, **settings):
        if len(trained) + 1 == stop_at:
            raise KeyboardInterrupt
        trained.append(settings["out"])
        return fit(*given, **settings)

    monkeypatch.setattr(trainings, "fit", watched)
    return trained


def test_a_line_per_metric_and_protocol(make, paper, tmp_path):
    found = make(rows=["Pop", "sasrec-star"], targets=["toys"])
    assert found.results == paper / "results.csv"
    written = lines(found.results)
    assert tuple(written[0]) == COLUMNS
    assert [(line["row"], line["protocol"], line["metric"], line["paper"]) for line in written] == [
        ("Pop", "sampled:99", "ndcg@10", "0.5"),
        ("Pop", "sampled:99", "hr@5", "0.6"),
        ("Pop", "full", "ndcg@10", ""),
        ("Pop", "full", "hr@5", ""),
        ("SASRec*", "sampled:99", "ndcg@10", "0.7"),
        ("SASRec*", "sampled:99", "hr@5", ""),
        ("SASRec*", "full", "ndcg@10", ""),
        ("SASRec*", "full", "hr@5", ""),
    ]
    runs = [seed(tmp_path, "sasrec-star", number) for number in (1, 2)]
    ranked = [read_results(run, "full") for run in runs]
    values = [float(per_user("hr@5", one.rank_N, one.candidates_N).mean()) for one in ranked]
    line = written[-1]
    assert float(line["mean"]) == pytest.approx(statistics.mean(values), abs=1e-6)
    assert float(line["std"]) == pytest.approx(statistics.stdev(values), abs=1e-6)
    assert (line["seeds"], line["users"]) == ("2", str(len(ranked[0])))
    info = [json.loads((run / INFO).read_text()) for run in runs]
    assert float(line["cpu_seconds"]) == pytest.approx(statistics.mean(one["cpu_seconds"] for one in info), abs=0.1)
    assert (line["commit"], line["data_hash"]) == (info[0]["commit"], info[0]["data_hash"])
    assert written[0]["std"] == written[0]["p_value"] == written[0]["against"] == ""


def test_p_is_that_of_a_comparison_over_the_seeds_that_both_have(make, tmp_path):
    found = make(rows=["Pop", "SASRec*", "KNN"], targets=["toys"])
    by_row = {one.line.row: one for one in found.cells if (one.line.protocol, one.line.metric) == ("full", "ndcg@10")}
    knn = by_row["KNN"]
    for test, row in zip(knn.tests, ("sasrec-star", "pop"), strict=True):
        pair = compare([seed(tmp_path, row), seed(tmp_path, "knn")], "ndcg@10").pairs[0]
        assert test.p == pytest.approx(pair.test.p)
        assert test.gain == pytest.approx(pair.difference.value)
        assert test.seeds == (1,)
    assert (knn.line.against, knn.line.p_value) == ("SASRec*", knn.tests[0].p)
    written = {
        line["row"]: line for line in lines(found.results) if (line["protocol"], line["metric"]) == ("full", "ndcg@10")
    }
    assert float(written["KNN"]["p_value"]) == pytest.approx(knn.tests[0].p, rel=0.01)


def test_a_baseline_that_is_not_trained_is_left_empty(make, monkeypatch):
    trained = fits(monkeypatch)
    line = make(rows=["KNN"], targets=["toys"]).cells[0].line
    assert (line.against, line.p_value) == ("", None)
    assert len(trained) == 1
    make(rows=["Pop"], targets=["toys"])
    again = make(rows=["KNN"], targets=["toys"]).cells[0]
    assert [test.against for test in again.tests] == ["Pop"]
    assert again.line.against == ""


def test_what_is_finished_stays_as_it_is(make, monkeypatch, tmp_path):
    chosen = {"rows": ["Pop", "SASRec*"], "targets": ["toys"]}
    before = make(**chosen).results.read_bytes()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    trained = fits(monkeypatch)
    assert make(**chosen).results.read_bytes() == before
    assert trained == []
    locks = {path for path in files if path.name.endswith(".lock")}
    assert {path: path.stat().st_mtime_ns for path in files.keys() - locks} == {
        p: files[p] for p in files.keys() - locks
    }


def test_a_kill_between_cells_loses_nothing(make, monkeypatch, paper, tmp_path):
    chosen = {"rows": ["Pop", "SASRec*"], "targets": ["toys"]}
    with monkeypatch.context() as patch:
        fits(patch, stop_at=3)
        with pytest.raises(KeyboardInterrupt):
            make(**chosen)
    assert {line["row"] for line in lines(paper / "results.csv")} == {"Pop"}
    trained = fits(monkeypatch)
    make(**chosen)
    assert trained == [seed(tmp_path, "sasrec-star", 2)]
    assert {line["row"] for line in lines(paper / "results.csv")} == {"Pop", "SASRec*"}


def test_collecting_measures_what_is_trained_and_names_the_rest(make, monkeypatch, paper, tmp_path):
    with monkeypatch.context() as patch:
        fits(patch, stop_at=3)
        with pytest.raises(KeyboardInterrupt):
            make(rows=["Pop", "SASRec*"], targets=["toys"])
    trained, told = fits(monkeypatch), []
    found = make(targets=["toys"], tables=["1"], collect=True, tell=told.append)
    assert trained == []
    written = {line["row"]: line for line in lines(paper / "results.csv")}
    assert written.keys() == {one.line.row for one in found.cells} == {"Pop", "SASRec*"}
    assert written["SASRec*"]["seeds"] == "1"
    assert "--seeds 1" in written["SASRec*"]["command"]
    missing = [text for text in told if text.startswith("Not trained")]
    assert missing == ["Not trained: SASRec* for toys, honest, seed 2", "Not trained: KNN for toys, honest, seed 1"]
    assert not seed(tmp_path, "knn").exists()


def test_collecting_leaves_a_mean_over_more_seeds(make, paper, tmp_path):
    make(rows=["SASRec*"], targets=["toys"], seeds=2, runs=tmp_path / "both")
    both = lines(paper / "results.csv")
    make(rows=["Pop", "SASRec*"], targets=["toys"], seeds=1, runs=tmp_path / "one", results=tmp_path / "one.csv")
    told: list[str] = []
    make(rows=["Pop", "SASRec*"], targets=["toys"], runs=tmp_path / "one", collect=True, tell=told.append)
    written = lines(paper / "results.csv")
    assert [line for line in written if line["row"] == "SASRec*"] == both
    assert {line["row"] for line in written} == {"Pop", "SASRec*"}
    kept = [text for text in told if text.startswith("Left as it is")]
    assert kept == ["Left as it is in results.csv, where more seeds stand: SASRec* for toys, honest"]


def test_nothing_to_collect_is_said(make, monkeypatch, paper):
    trained = fits(monkeypatch)
    with pytest.raises(InputError, match=r"None of this is trained below .*runs: .*leave --collect out"):
        make(rows=["SASRec*"], collect=True)
    assert trained == []
    assert not (paper / "results.csv").exists()


def test_an_unfinished_run_goes_on_to_where_it_would_have_ended(make, monkeypatch, tmp_path):
    whole = make(rows=["SASRec*"], seeds=1, runs=tmp_path / "whole").cells[0].line.mean
    epoch = Trainer._epoch

    def stopping(self, *given):
        if self.progress.epoch == 2:
            raise KeyboardInterrupt
        return epoch(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", stopping)
        with pytest.raises(KeyboardInterrupt):
            make(rows=["SASRec*"], seeds=1)
    run = seed(tmp_path, "sasrec-star")
    assert (run / CONFIG).is_file()
    assert not (run / INFO).is_file()
    assert make(rows=["SASRec*"], seeds=1).cells[0].line.mean == whole


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_of_other_settings_is_said_before_anything_is_trained(make, monkeypatch, paper, tmp_path, finished):
    make(rows=["SASRec*"], seeds=1)
    run = seed(tmp_path, "sasrec-star")
    if not finished:
        (run / INFO).unlink()
    (paper / "recipe.py").write_text(RECIPE.replace('"model.dim": 8', '"model.dim": 12'))
    trained = fits(monkeypatch)
    with pytest.raises(InputError, match=r"settings\.dim is 8 there and 12 here") as error:
        make(rows=["Pop", "SASRec*"], targets=["toys"])
    assert str(run) in str(error.value)
    assert trained == []


def test_a_setting_that_is_newer_than_a_finished_run_is_no_difference(make, tmp_path):
    make(rows=["SASRec*"], seeds=1)
    path = seed(tmp_path, "sasrec-star") / CONFIG
    recorded = json.loads(path.read_text())
    del recorded["train"]["copies"]
    path.write_text(json.dumps(recorded))
    make(rows=["SASRec*"], seeds=1)
    del recorded["train"]["epochs"]
    path.write_text(json.dumps(recorded))
    with pytest.raises(InputError, match=r"train\.epochs"):
        make(rows=["SASRec*"], seeds=1)


def test_lines_of_other_cells_stay_and_all_are_in_the_recipes_order(make, paper):
    make(rows=["KNN"], targets=["toys"])
    path = paper / "results.csv"
    foreign = "9,else,books,X,auc,full,0.5,,1,3,,,,c,d,h,1.0\n"
    path.write_text(
        path.read_text()
        .replace("\n", "\n" + foreign, 1)
        .replace(",toys,KNN,ndcg@10,full,0.", ",toys,KNN,ndcg@10,full,7.")
    )
    make(rows=["Pop"], targets=["toys"])
    written = lines(path)
    rows = list(dict.fromkeys((line["table"], line["row"]) for line in written))
    assert rows == [("1", "Pop"), ("1", "KNN"), ("2", "KNN"), ("9", "X")]
    assert any(line["mean"].startswith("7.") for line in written), "what was not measured now was touched"
    make(rows=["KNN"], targets=["toys"])
    assert not any(line["mean"].startswith("7.") for line in lines(path)), "what was measured now was not replaced"


def test_results_of_other_columns_are_said_before_anything_is_trained(make, monkeypatch, paper):
    (paper / "results.csv").write_text("row,mean\n")
    trained = fits(monkeypatch)
    with pytest.raises(InputError, match="its columns must be"):
        make(rows=["Pop"])
    assert trained == []


def test_quick_never_touches_the_results(make, paper, tmp_path):
    make(rows=["Pop"], targets=["toys"])
    before = (paper / "results.csv").read_bytes()
    found = make(rows=["Pop", "SASRec*"], targets=["toys"], quick=True)
    assert (found.quick, found.results) == (True, tmp_path / "runs" / "quick" / "results.csv")
    assert (paper / "results.csv").read_bytes() == before
    assert {line["seeds"] for line in lines(found.results)} == {"1"}
    assert all(line["command"].endswith("--quick") for line in lines(found.results))
    config = json.loads((tmp_path / "runs/quick/toys/honest/sasrec-star/seed-1" / CONFIG).read_text())
    assert config["train"]["epochs"] == 1
    assert not seed(tmp_path, "sasrec-star").exists()
    with pytest.raises(InputError, match="leave --results out"):
        make(rows=["Pop"], quick=True, results=paper / "results.csv")
    assert (paper / "results.csv").read_bytes() == before


def test_the_row_it_starts_from_is_trained_first_and_taken_over(make, monkeypatch, tmp_path):
    trained = fits(monkeypatch)
    found = make(rows=["NNCF"])
    assert trained == [seed(tmp_path, "uns"), seed(tmp_path, "nncf")]
    info = json.loads((seed(tmp_path, "nncf") / INFO).read_text())
    assert info["taken_over"] == ["alone:games", "alone:toys"]
    assert {line["row"] for line in lines(found.results)} == {"NNCF"}
    assert [test.against for test in found.cells[0].tests] == ["UNS"]


def test_a_run_for_all_targets_is_trained_once_and_measured_in_each(make, monkeypatch, paper, tmp_path):
    merged = (
        'settings={**TINY, "model.domains": "merged", "model.guard": "none"}, seeds={"honest": 2}, against=("Pop",)'
    )
    row = f'Row("Both", ("1",), "sasrec", together=True, {merged}),'
    (paper / "recipe.py").write_text(RECIPE.replace("    ),\n    beware", f"        {row}\n    ),\n    beware"))
    trained = fits(monkeypatch)
    found = make(rows=["Pop", "Both"])
    both = [seed(tmp_path, "both", number) for number in (1, 2)]
    assert trained == [seed(tmp_path, "pop"), *both, seed(tmp_path, "pop", target="games")]
    assert json.loads((both[0] / CONFIG).read_text())["split"]["also"] == ["games"]
    for target in ("toys", "games"):
        own = [one for one in found.cells if (one.line.row, one.line.target) == ("Both", target)]
        line = next(one for one in own if (one.line.protocol, one.line.metric) == ("full", "ndcg@10"))
        ranked = [read_results(run, "full", target) for run in both]
        values = [float(per_user("ndcg@10", one.rank_N, one.candidates_N).mean()) for one in ranked]
        assert line.line.mean == pytest.approx(statistics.mean(values))
        pair = compare([seed(tmp_path, "pop", target=target), both[0]], "ndcg@10", target=target).pairs[0]
        assert [test.against for test in line.tests] == ["Pop"]
        assert line.tests[0].gain == pytest.approx(pair.difference.value)
    make(rows=["Both"], targets=["games"])
    assert len(trained) == 4


def test_the_authors_variant_says_its_leak(make):
    found = make(rows=["Pop"], targets=["toys"], protocol="all")
    leaks = {one.line.protocol: one.leak for one in found.cells}
    assert leaks["full"] == leaks["sampled:99"] == ""
    assert "chosen on the test events" in leaks["authors"]
    assert {one.line.paper for one in found.cells if one.line.metric == "hr@5"} == {0.6, None}
    assert all(one.line.paper == 0.6 for one in found.cells if one.line.key[4:] == ("hr@5", "authors"))


def test_logs_are_prepared_once_and_others_are_refused(make, logs, tmp_path):
    make(rows=["Pop"], targets=["toys"])
    make(rows=["Pop"], targets=["games"], data=None)
    other = tmp_path / "other" / "shop"
    simulate(World(domains=["toys", "games"], users=60, items=170, seed=4)).write(other)
    with pytest.raises(InputError, match="was prepared from other logs"):
        make(rows=["Pop"], data=other)
    with pytest.raises(InputError, match="The logs 'shop'"):
        make(rows=["Pop"], data=tmp_path / "nowhere", runs=tmp_path / "else")


def test_figures_of_two_data_stand_apart(make, paper, logs, tmp_path):
    twice = RECIPE.replace('(Data("shop", ("toys", "games")),)', '(Data("shop", ("toys",)), Data("mall", ("games",)))')
    (paper / "recipe.py").write_text(twice)
    (tmp_path / "logs").mkdir()
    for name in ("shop", "mall"):
        (tmp_path / "logs" / name).symlink_to(logs)
    found = make(rows=["Pop"], data=tmp_path / "logs")
    assert {(one.line.data, one.line.target) for one in found.cells} == {("shop", "toys"), ("mall", "games")}
    assert (tmp_path / "runs/mall/games/honest/pop/seed-1" / WEIGHTS).is_file()


def test_a_row_whose_settings_do_not_exist_is_named(make, paper):
    (paper / "recipe.py").write_text(RECIPE.replace('"model.dim": 8', '"model.dimm": 8'))
    with pytest.raises(
        InputError, match=r"row 'SASRec\*': There is no setting 'model\.dimm'. Did you mean 'model\.dim'"
    ):
        make(rows=["SASRec*"])


def test_seeds_are_counted_from_one(make):
    with pytest.raises(InputError, match="1 or more"):
        make(rows=["Pop"], seeds=0)


def test_one_place_is_worked_on_by_one_at_a_time(tmp_path):
    said, order, entered = threading.Event(), [], threading.Event()

    def second():
        entered.wait()
        with locks.alone(tmp_path / "run", said.set):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with locks.alone(tmp_path / "run", lambda: None):
        entered.set()
        assert said.wait(10), "the second came in while the first was there"
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


def test_what_two_measure_at_once_is_measured_once(make, monkeypatch, tmp_path):
    make(rows=["Pop"], targets=["toys"])
    done, really = [], trainings.evaluate_run
    shutil.rmtree(seed(tmp_path, "pop") / "results")

    def slowly(folder, protocol, **more):
        done.append(protocol)
        time.sleep(0.05)
        return really(folder, protocol, **more)

    monkeypatch.setattr(trainings, "evaluate_run", slowly)
    both = [threading.Thread(target=make, kwargs={"rows": ["Pop"], "targets": ["toys"]}) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(done) == len(set(done)) > 0


def test_one_process(make, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="without torchrun"):
        make(rows=["Pop"])
