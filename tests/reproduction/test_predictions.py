"""Tables of ratings and of clicks: each protocol has its own metrics, and a row learns from the sources that it names."""

from __future__ import annotations

import csv
import json

import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.simulate import simulate
from crossrec.data.worlds import World
from crossrec.errors import InputError
from crossrec.evaluation.run import evaluate_run
from crossrec.experiments.compare import compare
from crossrec.reproduction.recipe import Data, Recipe, Row
from crossrec.reproduction.reproduce import reproduce
from crossrec.runs import CONFIG

RECIPE = """
from crossrec.reproduction.recipe import Data, Recipe, Row, Variant

RATED = {"ratings": ("mae", "rmse", "ndcg@5/rated", "mae/known"), "liked:20": ("ndcg@5/neg20",)}
TINY = {"model.dim": 4, "train.epochs": 2}
MERGED = {**TINY, "model.domains": "merged"}
BOTH = {"honest": 2, "clicks": 1}
RECIPE = Recipe(
    paper="stars",
    title="Stars",
    data=(Data("shop", ("toys",), domains=("toys", "games", "books")),),
    tables={"2": "ratings", "3": "clicks"},
    headline="mae",
    variants=(
        Variant("honest", "ratio", ("ratings", "liked:20"), ("ratings",), {"train.task": "ratings"}, ("2",), RATED),
        Variant("clicks", "ratio", ("clicks",), ("clicks",), {"train.task": "clicks"}, ("3",)),
    ),
    rows=(
        Row("MF", ("2", "3"), "biasmf", settings=TINY, seeds=BOTH),
        Row("MF more", ("2", "3"), "biasmf", settings=MERGED, against=("MF",), seeds=BOTH, sources={"toys": ("books",)}),
    ),
)
"""
EXPECTED = """table,data,target,row,metric,paper,note
2,shop,toys,MF,mae,0.9,
2,shop,toys,MF,ndcg@5,0.7,which NDCG is not said
3,shop,toys,MF,acc,0.6,
3,shop,toys,MF,auc,0.7,
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all") / "shop"
    domains = ["toys", "games", "books", "films"]
    simulate(World(domains=domains, users=80, items=90, events=12, interests=5, opinions=1.0, seed=3)).write(folder)
    return folder


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers") / "stars"
    folder.mkdir()
    (folder / "recipe.py").write_text(RECIPE)
    (folder / "expected.csv").write_text(EXPECTED)
    return folder


@pytest.fixture(scope="module")
def made(paper, logs, tmp_path_factory):
    """What was found, and where the runs are."""
    runs = tmp_path_factory.mktemp("runs")
    return reproduce(str(paper), data=logs, runs=runs), runs


def cells(found, row, protocol):
    return {one.line.metric: one for one in found.cells if (one.line.row, one.line.protocol) == (row, protocol)}


def test_a_protocol_has_its_metrics_else_those_that_the_table_prints(made):
    found, _ = made
    assert list(cells(found, "MF", "ratings")) == ["mae", "rmse", "ndcg@5/rated", "mae/known"]
    assert list(cells(found, "MF", "liked:20")) == ["ndcg@5/neg20"]
    assert list(cells(found, "MF", "clicks")) == ["acc", "auc"]


def test_a_figure_stands_beside_ours_where_it_is_the_same_metric(made):
    found, _ = made
    assert {one.line.metric: one.line.paper for one in found.cells if one.line.paper} == {
        "mae": 0.9,
        "acc": 0.6,
        "auc": 0.7,
    }


def test_figures_are_those_of_an_evaluation_over_all_that_is_held_out(made):
    found, runs = made
    for variant, protocol in (("honest", "ratings"), ("clicks", "clicks")):
        many = 2 if variant == "honest" else 1
        outcomes = [evaluate_run(runs / f"toys/{variant}/mf/seed-{n}", protocol) for n in range(1, many + 1)]
        for metric, one in cells(found, "MF", protocol).items():
            values = [outcome.value(metric) for outcome in outcomes]
            assert one.line.mean == pytest.approx(sum(values) / many)


def test_p_is_paired_over_users_and_an_error_falls_where_it_is_better(made):
    found, runs = made
    folders = [runs / f"toys/honest/{row}/seed-{n}" for row in ("mf", "mf-more") for n in (1, 2)]
    for metric in ("mae", "rmse", "mae/known", "ndcg@5/rated"):
        test = cells(found, "MF more", "ratings")[metric].tests[0]
        pair = compare(folders, metric).pairs[0]
        assert (test.against, test.seeds) == ("MF", (1, 2))
        assert test.gain == pytest.approx(pair.difference.value)
        assert test.p == pytest.approx(pair.test.p)


def test_lines_keep_the_order_of_protocols_and_metrics(made):
    with made[0].results.open(newline="") as file:
        lines = [
            (line["row"], line["protocol"], line["metric"]) for line in csv.DictReader(file) if line["table"] == "2"
        ]
    rated = [("ratings", name) for name in ("mae", "rmse", "ndcg@5/rated", "mae/known")]
    wanted = [*rated, ("liked:20", "ndcg@5/neg20")]
    assert lines == [(row, *each) for row in ("MF", "MF more") for each in wanted]


def test_the_metric_that_is_shown_is_the_protocols_first(made):
    recipe = made[0].recipe
    assert [recipe.shown(protocol) for protocol in ("ratings", "liked:20", "clicks")] == ["mae", "ndcg@5/neg20", "mae"]


def test_a_row_learns_from_the_sources_it_names_and_the_others_are_not_even_read(made):
    _, runs = made
    assert Dataset.load(runs / "prepared").domains == ("toys", "games", "books")
    sources = {
        row: json.loads((runs / f"toys/honest/{row}/seed-1" / CONFIG).read_text())["sources"]
        for row in ("mf", "mf-more")
    }
    assert sources == {"mf": ["games", "books"], "mf-more": ["books"]}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row("B", ("1",), "pop", sources={"toyz": ()}), "there is no target 'toyz'. Did you mean 'toys'?"),
        (Row("B", ("1",), "pop", sources={"toys": ()}, together=True), "no settings or sources of one of them"),
    ],
)
def test_sources_of_no_target_are_said(row, said):
    with pytest.raises(InputError) as error:
        Recipe("tiny", "Tiny", (Data("shop", ("toys", "games")),), {"1": "one"}, (row,))
    assert said in str(error.value)
