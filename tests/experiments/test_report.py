"""The report: one valid HTML file that loads nothing, with and without matplotlib."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrec.errors import InputError
from crossrec.experiments import report
from crossrec.experiments.compare import compare
from crossrec.experiments.comparison import Comparison
from crossrec.experiments.curves import read_curves
from crossrec.experiments.quality import NEGATIVES, read_quality
from crossrec.experiments.report import NO_PLOTS, write_report

MakeRun = Callable[..., Path]

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = '<script>alert("x")</script> & $x_1$'


class Checker(HTMLParser):
    """Finds elements left open, doubled ids, and everything that would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.data: list[str] = []
        self.labels: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._attributes(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.data.append(data)

    def _attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name in ("href", "src", "clip-path"):
                self.references.append(str(value))
            elif name == "aria-label":
                self.labels.append(str(value))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.data).split())


def check(path: Path) -> Checker:
    """The page parses, and whatever it refers to is inside it."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    page = Checker(text)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    for reference in page.references:
        inside = re.fullmatch(r"#(.+)|url\(#(.+)\)", reference)
        assert inside, reference
        assert (inside[1] or inside[2]) in page.ids
    assert not re.search(r"https?:|//[a-z]|@import|\burl\((?!#)", text)
    assert "script" not in page.tags
    return page


def curve(epochs: int, **phase: Any) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for epoch in range(1, epochs + 1):
        lines.append({"phase": "train", "epoch": epoch, "loss": 3.0 / epoch, "seconds": 1.0} | phase)
        if epoch % 2 == 0:
            lines[-1]["valid"] = {"ndcg@10": 0.1 - 0.1 / epoch, "hr@10": 0.2, "users": 5}
    return [*lines, {"phase": "done", "best_epoch": 4}]


@pytest.fixture
def runs(make_run: MakeRun) -> list[Path]:
    rng = np.random.default_rng(0)
    rank, toys = rng.integers(1, 30, 200), rng.integers(0, 4, 200)
    history = {"games": rng.integers(1, 9, 200), "toys": toys}
    about = {"best_epoch": 4, "command": f"crossrec train {EVIL}", "wall_seconds": 12.3, "cpu_seconds": 20.5}
    single = make_run("single", rank, history=history, curve=curve(6), run=about)
    better = np.maximum(1, rank - 2 * toys)
    merged = make_run("merged", better, history=history, curve=curve(8), config={"sources": ["toys"]}, model="m")
    make_run("merged", rank, protocol="authors", leak="Test items are among the negatives.", model="m")
    return [single, merged]


@pytest.fixture
def comparison(runs: list[Path]) -> Comparison:
    return compare(runs)


DESCRIPTION = {
    "domains": {
        "toys": {"users": 12345, "density": 0.00012, "lengths": {"median": 7, "max": 40}},
        "games": {"users": 99, "time_span": ["2001-01-01", "2018-10-02"], EVIL: None},
    },
    "overlap": {
        "pairs": [{"domains": ["toys", "games"], "users": 77, "share": {"toys": 0.25, "games": 1.0}}],
        "one": 3,
    },
    "held_out": {"games": {"users": 55, "unseen": 0.125}},
    "notes": ["times of toys were milliseconds"],
}
SAID = ("toys, games 77 toys 0.25, games 1", "held out unseen", "0.125", "times of toys were milliseconds")
RECOMMENDATIONS = [
    {"user": "A1", "history": {"toys": [EVIL]}, "items": [{"item": "B9", "title": EVIL, "score": 3.25}]},
    {"history": {"games": ["g7"]}, "items": ["B1", "B2"]},
]


def test_whole_report(tmp_path: Path, runs: list[Path], comparison: Comparison) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / "report.html"
    write_report(
        path,
        title=f"Do toys help? {EVIL}",
        runs=runs,
        description=DESCRIPTION,
        comparison=comparison,
        recommendations=RECOMMENDATIONS,
        notes=[f"The world is simulated. {EVIL}"],
    )
    page = check(path)
    assert page.tags.count("svg") == 4  # learning curves, by history of two domains, one lift
    assert page.tags.count("details") == 4
    for said in (
        comparison.sentences()[0],
        "12,345",
        "lengths median",
        "7",
        "B9",
        "3.25",
        "A user never seen before",
        *SAID,
    ):
        assert said in page.text
    assert page.text.count(EVIL) >= 6
    assert f"{comparison.means[1].value:.4f}" in page.text
    assert "† Test items are among the negatives." in page.text
    assert NO_PLOTS not in page.text
    text = path.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert "currentColor" in text
    assert [label for label in page.labels if "validation ndcg@10 by epoch (single, merged)" in label]
    assert list(path.parent.iterdir()) == [path]


def test_the_same_report_twice(tmp_path: Path, runs: list[Path], comparison: Comparison) -> None:
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, title="t", runs=runs, comparison=comparison)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_without_matplotlib(
    tmp_path: Path, runs: list[Path], comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name == "matplotlib" or name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "crossrec.experiments.plots", raising=False)
    monkeypatch.delattr(importlib.import_module("crossrec.experiments"), "plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = tmp_path / "report.html"
    write_report(path, title="Plain", runs=runs, comparison=comparison)
    page = check(path)
    assert "svg" not in page.tags
    assert page.text.count(NO_PLOTS) == 1
    lift = comparison.pairs[0].groups[-1]
    assert f"{lift.difference.low:+.4f} to {lift.difference.high:+.4f}" in page.text
    assert "merged: loss" in page.text


def test_bare_report(tmp_path: Path, make_run: MakeRun) -> None:
    path = tmp_path / "report.html"
    write_report(path, title="Nothing yet", runs=[])
    assert check(path).text.endswith("Nothing yet")
    write_report(path, title="One", runs=[make_run("one", [1, 2, 3])])
    assert "svg" not in check(path).tags


def test_rows_of_recommendations(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    rows = [{"user": "A1", "rank": 1, "item": "B9"}, {"user": "A1", "rank": 2, "item": "B7", "title": "Catan"}]
    write_report(path, title="Rows", runs=[], recommendations=rows)
    assert "user rank item title A1 1 B9 – A1 2 B7 Catan" in re.sub(r"\s+", " ", check_text(path))


def check_text(path: Path) -> str:
    check(path)
    return re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8"))


def test_leak_comes_first(tmp_path: Path, make_run: MakeRun) -> None:
    leak = "Negatives are test items."
    found = [make_run(name, rank, leak=leak, model=name) for name, rank in (("a", [1, 2, 3]), ("b", [3, 1, 1]))]
    path = tmp_path / "report.html"
    write_report(path, title="Leaky", runs=found, comparison=compare(found))
    page = check(path)
    assert 0 < page.text.index(leak) < page.text.index("not shown to differ") < page.text.index("How the runs rank")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", title="t", runs=[])
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "folder", title="t", runs=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_curves_are_read_leniently(make_run: MakeRun, comparison: Comparison, runs: list[Path]) -> None:
    run = make_run("phases", [1, 2], curve=[*curve(3, phase="source"), *curve(4, phase="joint")], run={"best_epoch": 4})
    again = {"phase": "joint", "epoch": 4, "loss": 0.5, "valid": {"ndcg@10": 0.3}}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(f'{again}\n"text"\n[1]\n{{"epoch": 5, "loss": NaN}}\n'.replace("'", '"'))
        file.write('{"phase": "joint", "epoch": 5, "lo')
    (found,) = read_curves([run], "ndcg@10", None)
    assert [epoch for epoch, _ in found.loss] == [1, 2, 3, 4, 5, 6, 7]
    assert found.loss[-1] == (7, 0.5)  # trained again after a kill: the last line stands
    assert found.best == (7, 0.3)
    assert [epoch for epoch, _ in found.valid] == [2, 5, 7]
    compared = read_curves([*runs, run], "hr@10", comparison)
    assert [(c.system, c.label) for c in compared] == [(0, "single"), (1, "merged"), (2, "phases")]


def watched(run: Path, epochs: int, hard: bool, true: bool = False, domain: str = "games") -> None:
    """Leave records of negatives in a run folder, the last line cut short."""
    lines = []
    for epoch in range(1, epochs + 1):
        drawn = {"negatives": 80, "later_clicked": 0.004, "expected": 0.005, "lift": 0.8, "rank": 0.5}
        drawn |= {"true_top": 0.01, "true_affinity": 1.25} if true else {}
        chosen = drawn | {"later_clicked": 0.01 * epoch, "lift": 2.0 * epoch, "rank": 1 / (8 * epoch)} if hard else None
        at = {"record": epoch, "phase": "train", "epoch": epoch, "domain": domain, "hard_share": 0.25 if hard else 0}
        lines.append(json.dumps(at | {"drawn": drawn, "hard": chosen}))
    with (run / NEGATIVES).open("a") as file:
        file.write("\n".join([*lines, '{"record": 7, "pha' if domain == "toys" else ""]))


@pytest.mark.parametrize("plots", [True, False])
def test_negatives(
    tmp_path: Path, make_run: MakeRun, runs: list[Path], monkeypatch: pytest.MonkeyPatch, plots: bool
) -> None:
    if plots:
        pytest.importorskip("matplotlib")
    else:
        monkeypatch.setattr(report, "_library", lambda: None)
    watched(runs[0], 6, hard=False)
    watched(runs[1], 4, hard=True, true=True)
    watched(runs[1], 3, hard=True, domain="toys")
    path = tmp_path / "report.html"
    write_report(path, title="t", runs=[*runs, make_run("other", [1, 2], curve=curve(3))])
    page = check(path)
    assert page.tags.count("svg") == (3 if plots else 0)  # learning curves, and the negatives of two domains
    labels = [label for label in page.labels if label.startswith("Negatives in")]
    assert [label.rpartition("(")[2] for label in labels] == (["single, merged).", "merged)."] if plots else [])
    text = " ".join(check_text(path).split())
    assert "4 0.4 % 0.500 4 % 0.031 0.4 % 0.500" in text  # epoch 4: single drawn, merged hard and drawn
    assert "single games train drawn 100 % 0.4 % 0.5 % 0.80 0.500 – –" in text
    assert "merged games train hard 25 % 4 % 0.5 % 8.00 0.031 1 % 1.25" in text
    assert "merged toys train hard 25 % 3 % 0.5 % 6.00 0.042 – –" in text
    assert "true affinity" in text.lower()


def test_runs_that_were_not_watched_have_no_negatives(tmp_path: Path, runs: list[Path]) -> None:
    path = tmp_path / "report.html"
    write_report(path, title="t", runs=runs)
    assert "Negatives" not in check(path).text


def test_epochs_of_negatives_are_counted_on_over_the_phases(make_run: MakeRun) -> None:
    run = make_run("phases", [1, 2], curve=[*curve(3, phase="own"), *curve(4)])
    watched(run, 4, hard=True)
    (found,) = read_quality([run], None)
    assert found.points("drawn", "rank") == [(4, 0.5), (5, 0.5), (6, 0.5), (7, 0.5)]
    assert found.points("hard", "true_top") == []


def test_long_trainings_are_thinned(tmp_path: Path, make_run: MakeRun) -> None:
    path = tmp_path / "report.html"
    write_report(path, title="Long", runs=[make_run("long", [1, 2], curve=curve(205))])
    text = check_text(path)
    assert "Every 6 epochs" in text
    assert re.search(r"\b205\b", text)


def test_plots_leave_matplotlib_as_it_was(comparison: Comparison) -> None:
    mpl = pytest.importorskip("matplotlib")
    from crossrec.experiments import plots

    before = dict(mpl.rcParams)
    plots.by_history(comparison, "toys")
    assert dict(mpl.rcParams) == before


def test_colours_stand_out_on_white_and_black() -> None:
    pytest.importorskip("matplotlib")
    from crossrec.experiments.plots import COLOURS

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for colour in COLOURS:
        assert 1.05 / (luminance(colour) + 0.05) >= 3
        assert (luminance(colour) + 0.05) / (luminance("#14171a") + 0.05) >= 3
