"""The recipe of DDGHM: what the paper prints, that none of it can be, and one training for two domains."""

from __future__ import annotations

import collections
import dataclasses

import pytest

from crossrec.data.simulate import simulate
from crossrec.data.worlds import World
from crossrec.errors import InputError
from crossrec.evaluation.check import broken
from crossrec.models.table import MODELS
from crossrec.reproduction.files import find_paper, load_recipe, metrics_of, read_expected
from crossrec.reproduction.reproduce import reproduce

PAPER = find_paper("ddghm")
EXPECTED = read_expected(PAPER)
FOOD_KITCHEN, MOVIE_BOOK = "amazon-food-kitchen-ddghm", "amazon-movie-book-ddghm"
ROUNDING = 0.00005


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(PAPER)


def printed(*tables):
    """Data, target and row to metric to figure."""
    rows = collections.defaultdict(dict)
    for (table, data, target, row, metric), (figure, _) in EXPECTED.items():
        if table in tables:
            rows[data, target, row][metric] = figure
    return rows


def breaks(figures):
    return broken(figures, dict.fromkeys(figures, ROUNDING))


def test_every_cell_of_the_paper_is_there():
    counts = collections.Counter(key[0] for key in EXPECTED)
    assert counts == {"2": 20 * 4 * 6, "5": 20 * 4 * 3, "3": 5 * 2 * 3, "4": 4 * 4 * 2}
    assert EXPECTED["2", MOVIE_BOOK, "movie", "DDGHM", "mrr@20"][0] == 0.2734
    assert EXPECTED["2", FOOD_KITCHEN, "kitchen", "SR-GNN", "hr@20"][0] == 0.2390
    assert EXPECTED["5", MOVIE_BOOK, "book", "NCF-MLP++", "mrr@10"][0] == 0.0501
    assert EXPECTED["3", MOVIE_BOOK, "book", "DDGHM (mean length 10.7)", "hr@20"][0] == 0.1548
    assert EXPECTED["4", FOOD_KITCHEN, "food", "DDGHM-cc", "ndcg@20"][0] == 0.2473


def test_tables_that_print_a_cell_twice_print_the_same():
    for (table, *cell), (figure, _) in EXPECTED.items():
        if table == "4" and cell[2] == "DDGHM":
            assert EXPECTED["2", *cell][0] == figure
        if table == "3" and cell[2].endswith("(mean length 32.1)"):
            row = cell[2].removesuffix(" (mean length 32.1)")
            assert EXPECTED["2", cell[0], cell[1], row, cell[3]][0] == figure


@pytest.mark.parametrize(("tables", "wrong", "of"), [("2", 80, 80), ("5", 63, 80), ("25", 80, 80), ("4", 0, 16)])
def test_rows_that_no_ranking_has(tables, wrong, of):
    rows = printed(*tables)
    assert (sum(bool(breaks(figures)) for figures in rows.values()), len(rows)) == (wrong, of)


def test_every_cell_says_what_its_row_breaks():
    for table, other in (("2", "5"), ("5", "2")):
        both = printed(table, other)
        for row, figures in printed(table).items():
            found = breaks(figures)
            with_other = "" if found else f" with that of Table {other}"
            bound = (found or breaks(both[row]))[0].bound
            notes = {EXPECTED[table, *row, metric][1] for metric in figures}
            assert notes == {f"no ranking has this row{with_other}: {bound} is broken"}
    assert {note for key, (_, note) in EXPECTED.items() if key[0] in "34"} == {""}


def test_a_printed_figure_stands_beside_none_of_ours(recipe):
    assert not {data.name for data in recipe.data} & {key[1] for key in EXPECTED}
    assert not any(variant.compared for variant in recipe.variants)
    assert metrics_of("2", recipe, EXPECTED) == [f"{name}@{k}" for k in (5, 20) for name in ("hr", "ndcg", "mrr")]


def test_rows_of_a_printed_table_are_named_as_there_or_ours(recipe):
    ours = {"DDGHM (default)", "SASRec", "SASRec (softmax)", "SASRec (M)", "DASL (RealHNS)", "TwoTower", "C2DSR"}
    for table in ("2", "4", "5"):
        named = {key[3] for key in EXPECTED if key[0] == table}
        assert {row.name for row in recipe.rows if table in row.tables} - named <= ours


def test_every_table_is_made_of_one_log_under_one_variant(recipe):
    made = collections.defaultdict(set)
    for cell in recipe.cells(protocol="all"):
        for table in cell.tables:
            made[table].add((cell.data.name, cell.variant.name))
    assert {table: len(found) for table, found in made.items()} == dict.fromkeys(recipe.tables, 1)


def test_every_row_is_tested_against_ddghm_or_the_merged_sasrec_and_runs_where_its_model_can(recipe):
    assert recipe.row("DDGHM").against == ()
    cells = [cell for cell in recipe.cells(protocol="all") if cell.row.name not in ("DDGHM", cell.variant.against)]
    assert {(cell.variant.name, cell.against[0]) for cell in cells} == {
        ("honest", "DDGHM"),
        ("last-merged", "SASRec (M)"),
        ("toy-game", "SASRec (M)"),
        ("pinet", "DDGHM"),
    }
    assert {row.against[0] for row in recipe.rows[1:]} == {"DDGHM"}
    assert all(row.together for row in recipe.rows if row.model == "ddghm")
    assert {row.model for row in recipe.rows} <= set(MODELS)


def test_the_leak_is_in_the_table_of_pinet_alone(recipe):
    leaky = [variant for variant in recipe.variants if "split.known" in variant.settings]
    assert [(variant.name, variant.tables) for variant in leaky] == [("pinet", ("pinet",))]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    named = {"amazon-food-kitchen-abxi": ["food", "kitchen"], "amazon-toy-game": ["toys", "games"]}
    for name, domains in named.items():
        world = World(domains=domains, users=120, items=4000, events=16, overlap=1.0, tail=0.0, days=3000, seed=5)
        simulate(world).write(folder / name)
    return folder


@pytest.mark.parametrize("protocol", ["honest", "last-merged", "toy-game", "pinet"])
def test_it_runs_quickly_and_ddghm_is_trained_once_for_both_domains(logs, tmp_path, protocol):
    found = reproduce("ddghm", rows=["Pop", "DDGHM"], quick=True, protocol=protocol, data=logs, runs=tmp_path)
    targets = ("toys", "games") if protocol == "toy-game" else ("food", "kitchen")
    assert {(cell.line.row, cell.line.target) for cell in found.cells} == {
        (row, target) for row in ("Pop", "DDGHM") for target in targets
    }
    assert len(list(tmp_path.glob(f"quick/*/*/{protocol}/ddghm/seed-1"))) == 1
    assert len(list(tmp_path.glob(f"quick/*/*/{protocol}/pop/seed-1"))) == 2
    assert all(bool(cell.leak) == (protocol == "pinet") for cell in found.cells)
    assert {test.against for cell in found.cells if cell.line.row == "Pop" for test in cell.tests} == {"DDGHM"}


def test_a_cell_is_of_the_tables_that_its_log_and_its_variant_make(recipe):
    tables = {(cell.data.name, cell.variant.name): cell.tables for cell in recipe.cells(rows=["DDGHM"], protocol="all")}
    assert tables == {
        ("amazon-food-kitchen-abxi", "honest"): ("2", "5", "4"),
        ("amazon-food-kitchen-abxi", "last-merged"): ("last-merged",),
        ("amazon-food-kitchen-abxi", "pinet"): ("pinet",),
        ("amazon-toy-game", "toy-game"): ("toy-game",),
    }
    with pytest.raises(InputError, match="has no such cell"):
        recipe.cells(tables=["last-merged"], protocol="honest")


def test_without_a_protocol_a_table_is_made_by_its_own(recipe):
    usual = {"2": "honest", "4": "honest", "last-merged": "last-merged", "toy-game": "toy-game", "pinet": "pinet"}
    for table, variant in usual.items():
        assert {
            cell.variant.name for cell in recipe.cells(tables=[table], rows=["DDGHM"] if table != "toy-game" else None)
        } == {variant}


@pytest.mark.parametrize("where", ["data", "variants"])
def test_a_log_or_a_variant_that_makes_no_such_table_is_said(recipe, where):
    first, *others = getattr(recipe, where)
    wrong = (dataclasses.replace(first, tables=("22",)), *others)
    with pytest.raises(InputError, match=rf"'{first.name}': there is no table '22'. Did you mean '2'\?"):
        dataclasses.replace(recipe, **{where: wrong})
