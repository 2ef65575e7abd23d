"""Recipes: their names fit together, and those under papers/ have every cell that their paper prints."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from crossrec.config import route
from crossrec.errors import InputError
from crossrec.reproduction.files import (
    EXPECTED,
    RECIPE,
    find_logs,
    find_paper,
    load_recipe,
    metrics_of,
    read_expected,
)
from crossrec.reproduction.recipe import HONEST, Data, Recipe, Row
from crossrec.train.assemble import PREFERENCES, Asked

PAPERS = sorted(path.parent for path in (Path(__file__).parents[2] / "papers").glob(f"*/{RECIPE}"))
ROWS = [(paper, row.name) for paper in PAPERS for row in load_recipe(paper).rows]
REALHNS = find_paper("realhns")


def recipe(*rows: Row, **changed: object) -> Recipe:
    return Recipe("tiny", "Tiny", (Data("shop", ("toys", "games")),), {"1": "one", "2": "two"}, rows, **changed)


FIRST = Row("A*", ("1",), "pop")
SECOND = Row("A*+B", ("1", "2"), "pop", seeds={"honest": 1, "authors": 1}, targets=("toys",))


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("DNS*", "dns-star"),
        ("DNS*+GS+CS", "dns-star-gs-cs"),
        ("RealHNS(DNS*)", "realhns-dns-star"),
        ("BPR-MF(UNS)", "bpr-mf-uns"),
        ("RealHNS + sampled softmax", "realhns-sampled-softmax"),
    ],
)
def test_slugs(name, slug):
    assert Row(name, (), "pop").slug == slug


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row("B", ("3",), "pop"), "there is no table '3'"),
        (Row("B", ("1",), "pop", targets=("toyz",)), "there is no target 'toyz'. Did you mean 'toys'?"),
        (Row("B", ("1",), "pop", by_target={"toyz": {}}), "there is no target 'toyz'"),
        (Row("B", ("1",), "pop", seeds={"honesty": 1}), "there is no variant 'honesty'. Did you mean 'honest'?"),
        (Row("B", ("1",), "pop", against=("A",)), "there is no earlier row 'A'"),
        (Row("B", ("1",), "pop", start="C"), "there is no earlier row 'C'"),
        (Row("A *", ("1",), "pop"), "another row has this name"),
        (Row("B", ("1",), "pop", start="A*", seeds={"authors": 1}), "not run under the same variants"),
        (Row("B", ("1",), "pop", start="A*", together=True), "both are one run for all targets, or neither"),
        (Row("B", ("1",), "pop", by_target={"toys": {}}, together=True), "no settings or sources of one of them"),
    ],
)
def test_names_that_do_not_fit_are_said(row, said):
    with pytest.raises(InputError) as error:
        recipe(FIRST, row)
    assert said in str(error.value)
    assert repr(row.name) in str(error.value)


def test_a_variant_names_what_its_rows_are_tested_against():
    third = Row("C", ("1",), "pop", against=("A*",))
    variant = dataclasses.replace(HONEST, against="C")
    cells = recipe(FIRST, third, variants=(variant,)).cells(targets=["toys"])
    assert [(cell.row.name, cell.against) for cell in cells] == [("C", ("A*",)), ("A*", ("C",))]
    for row in (FIRST, Row("C", ("1",), "pop", seeds={})):
        with pytest.raises(InputError, match="variant 'honest': no row 'C' is run under it"):
            recipe(row, variants=(variant,))


@pytest.mark.parametrize("cell", [("B", "toys"), ("A*+B", "games")])
def test_a_reason_without_a_cell_is_said(cell):
    with pytest.raises(InputError, match="has no such cell"):
        recipe(FIRST, SECOND, why={cell: "because"})


def named(cells):
    return [(cell.row.name, cell.target, cell.variant.name) for cell in cells]


def test_cells_are_chosen_by_table_row_target_and_variant():
    tiny = recipe(FIRST, SECOND)
    one = [("A*", "toys", "honest"), ("A*+B", "toys", "honest"), ("A*", "games", "honest")]
    assert named(tiny.cells()) == one
    assert named(tiny.cells(tables=["2"])) == [one[1]]
    assert named(tiny.cells(rows=["a-star"])) == named(tiny.cells(rows=["A*"])) == [one[0], one[2]]
    assert named(tiny.cells(targets=["games"])) == [one[2]]
    assert named(tiny.cells(protocol="authors")) == [("A*+B", "toys", "authors")]
    assert len(tiny.cells(protocol="all")) == 4


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"tables": ["1", "7"]}, "There is no table '7'. Known: 1, 2."),
        ({"rows": ["A*+C"]}, "There is no row in table 1, 2 'A*+C'. Did you mean 'A*+B'?"),
        ({"tables": ["2"], "rows": ["A*"]}, "There is no row in table 2 'A*'"),
        ({"targets": ["game"]}, "Did you mean 'games'?"),
        ({"protocol": "honst"}, "Did you mean 'honest'?"),
        ({"rows": ["A*+B"], "targets": ["games"]}, "has no such cell: rows A*+B; targets games"),
    ],
)
def test_what_is_not_there_is_said_with_the_nearest(chosen, said):
    with pytest.raises(InputError) as error:
        recipe(FIRST, SECOND).cells(**chosen)
    assert said in str(error.value)


def test_a_papers_folder_is_found_by_name_or_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_paper("realhns") == find_paper(str(REALHNS)) == REALHNS
    with pytest.raises(InputError, match="Did you mean 'realhns'"):
        find_paper("realhn")
    own = tmp_path / "papers" / "realhns"
    own.mkdir(parents=True)
    (own / RECIPE).write_text((REALHNS / RECIPE).read_text())
    assert find_paper("realhns") == own


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RECIPE = 1", "must name a crossrec.reproduction.recipe.Recipe"),
        ("1 / 0", "ZeroDivisionError"),
        ("from crossrec.reproduction.recipe import Recipe\nRECIPE = Recipe('else', '', (), {}, ())", "'else'"),
    ],
)
def test_a_recipe_that_is_none_is_said(tmp_path, text, said):
    (tmp_path / RECIPE).write_text(text)
    with pytest.raises(InputError) as error:
        load_recipe(tmp_path)
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("table,row\n", "its columns must be table, data"),
        ("table,data,target,row,metric,paper,note\n1,shop,toys,A,auc,x,\n", "line 2: paper must be a number"),
        (
            "table,data,target,row,metric,paper,note\n" + "1,shop,toys,A,auc,.5,\n" * 2,
            "line 3: this cell stands there twice",
        ),
    ],
)
def test_expected_figures_that_cannot_be_read_are_said(tmp_path, lines, said):
    (tmp_path / EXPECTED).write_text(lines)
    with pytest.raises(InputError) as error:
        read_expected(tmp_path)
    assert said in str(error.value)


def test_logs_are_the_folder_itself_or_in_the_folder_of_all(tmp_path, monkeypatch):
    data, shop = Data("shop", ("toys", "games")), tmp_path / "shop"
    monkeypatch.setenv("CROSSREC_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"toys\.\*, games\.\*.*--data"):
        find_logs(data)
    shop.mkdir()
    for name in data.targets:
        (shop / f"{name}.csv").touch()
    assert find_logs(data) == find_logs(data, tmp_path) == find_logs(data, shop) == shop


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_cell_of_a_papers_tables_is_there(paper):
    found, expected = load_recipe(paper), read_expected(paper)
    assert expected
    here = {data.name: data.targets for data in found.data}
    printed = {key[:2] for key in expected}
    wanted = {
        (table, data, target, row.name, metric)
        for data, targets in here.items()
        for target in targets
        for row in found.rows
        if target in (row.targets or targets)
        for table in row.tables
        if (table, data) in printed
        for metric in metrics_of(table, found, expected)
    }
    assert wanted == {key for key in expected if key[1] in here}


@pytest.mark.parametrize(("paper", "name"), ROWS, ids=[f"{paper.name}:{name}" for paper, name in ROWS])
def test_every_row_names_what_there_is(paper, name):
    found = load_recipe(paper)
    row = found.row(name)
    for variant in (one for one in found.variants if one.name in row.seeds):
        for target in row.targets or found.targets:
            asked = Asked(row.model, row.sampler, row.plugin, row.preset)
            told = {**variant.settings, **row.settings, **row.by_target.get(target, {})}
            dataclasses.replace(asked, settings=route(told, asked.known(variant.split), (PREFERENCES,))).assemble()


def test_realhns_prints_what_the_paper_prints():
    expected = read_expected(REALHNS)
    toys, games = ("amazon-toy-game", "toys"), ("amazon-toy-game", "games")
    assert len(expected) == (4 * 8 + 4 * 5 + 9) * 9
    assert expected["3", *toys, "UNS", "ndcg@10"][0] == 0.2327
    assert expected["2", *toys, "DNS*", "ndcg@10"] == (0.2264, "Table 3 prints 0.2241")
    assert expected["3", *toys, "DNS*", "ndcg@10"] == (0.2241, "Table 2 prints 0.2264")
    assert expected["3", *games, "RealHNS(DNS*)", "auc"] == (0.7924, "printed as DNS*+GS+CS+UF")
    assert expected["4", *games, "BPR-MF(RealHNS)", "hr@50"][0] == 0.7888
    assert expected["3", "amazon-book-movie", "books", "UNS", "ndcg@10"] == (0.3771, "these data are not public")


def test_uns_of_realhns_is_the_preset_and_nothing_else():
    uns = load_recipe(REALHNS).row("UNS")
    plain = Row("UNS", uns.tables, "twotower", "authors", seeds={"honest": 3, "authors": 1})
    assert uns == plain
    assert dataclasses.asdict(HONEST)["settings"] == {"train.protocol": "sampled:99"}
    assert (HONEST.split, HONEST.protocols) == ("leave-last-out", ("sampled:99", "full"))
