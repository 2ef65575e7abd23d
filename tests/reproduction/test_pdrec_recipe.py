"""The recipe of PDRec: two rows that are tested against each other differ in what their names say, and in nothing else."""

from __future__ import annotations

import pytest

from crossrec.reproduction.files import find_paper, load_recipe

AMAZON = ("toys", "games")
EVERYWHERE = (*AMAZON, "book", "music")


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(find_paper("pdrec"))


def told(row, target):
    """All that a row is told for a target, but for its name, its tables, its seeds and its tests."""
    what = {name: getattr(row, name) for name in ("model", "preset", "sampler", "plugin", "preferences", "start")}
    return {**what, **row.settings, **row.by_target.get(target, {})}


@pytest.mark.parametrize(
    ("first", "second", "targets", "changed"),
    [
        ("SASRec+HBR", "SASRec+HBR+NNS", EVERYWHERE, {"plugin.low"}),
        ("SASRec+HBR+NNS", "SASRec+PDRec", EVERYWHERE, {"plugin.soft"}),
        ("SASRec, positives weighted", "SASRec+HBR", EVERYWHERE, {"plugin.weight"}),
        ("SASRec+PDRec, distill .05", "SASRec+PDRec", AMAZON, {"plugin.distill"}),
        ("PDRec without TI-DiffRec", "SASRec+PDRec", EVERYWHERE, {"preferences"}),
        ("SASRec (M)+HBR", "SASRec (M)+HBR+NNS", AMAZON, {"plugin.low"}),
        ("SASRec (M)+HBR+NNS", "SASRec (M)+HBR+NNS+DPA", AMAZON, {"plugin.soft"}),
        ("SASRec+PDRec", "SASRec (M)+HBR+NNS+DPA", AMAZON, {"model.domains", "preferences"}),
        ("SASRec", "SASRec (M)", AMAZON, {"model.domains"}),
        ("T-DiffRec", "TI-DiffRec", EVERYWHERE, {"model"}),
        ("T-DiffRec (M)", "TI-DiffRec (M)", AMAZON, {"model"}),
        ("TI-DiffRec", "TI-DiffRec (M)", AMAZON, {"model.domains"}),
        ("GRU4Rec+PDRec", "SASRec+PDRec", AMAZON, {"model"}),
        ("CL4SRec", "SASRec", EVERYWHERE, {"model"}),
        ("CL4SRec+PDRec", "SASRec+PDRec", EVERYWHERE, {"model"}),
    ],
)
def test_rows_differ_in_nothing_else(recipe, first, second, targets, changed):
    for target in targets:
        one, two = told(recipe.row(first), target), told(recipe.row(second), target)
        assert {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)} == changed


@pytest.mark.parametrize("backbone", ["GRU4Rec", "SASRec", "CL4SRec"])
@pytest.mark.parametrize("target", EVERYWHERE)
def test_a_backbone_is_the_same_with_the_plugin_around_it(recipe, backbone, target):
    alone, around = told(recipe.row(backbone), target), told(recipe.row(f"{backbone}+PDRec"), target)
    changed = {name for name in alone.keys() | around.keys() if alone.get(name) != around.get(name)}
    assert {"plugin", "preferences"} < changed
    assert all(name.startswith("plugin.") for name in changed - {"plugin", "preferences"})


def test_the_light_soft_positives_weigh_what_the_published_command_says(recipe):
    light = recipe.row("SASRec+PDRec, distill .05")
    assert {told(light, target)["plugin.distill"] for target in light.targets} == {0.05}
