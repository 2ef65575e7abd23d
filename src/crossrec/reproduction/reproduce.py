"""Make the tables of a paper again: train what is missing, measure, and write the results down."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrec.data.locks import alone
from crossrec.errors import InputError
from crossrec.reproduction.files import RESULTS, find_paper, load_recipe, metrics_of, read_expected
from crossrec.reproduction.lines import merge_lines, read_lines
from crossrec.reproduction.measure import Measured, measured
from crossrec.reproduction.recipe import Cell, Recipe
from crossrec.reproduction.trainings import Trainings, Watch


@dataclass(frozen=True)
class Reproduction:
    """What was measured."""

    recipe: Recipe
    cells: tuple[Measured, ...]
    results: Path
    """The file that the lines were put into."""
    quick: bool

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        cells = [
            {
                **dataclasses.asdict(one.line),
                "gap": one.gap,
                "note": one.note,
                "why": one.why,
                "leak": one.leak,
                "tests": [dataclasses.asdict(test) for test in one.tests],
            }
            for one in self.cells
        ]
        told = {"paper": self.recipe.paper, "quick": self.quick, "results": str(self.results)}
        return {**told, "beware": self.recipe.beware, "cells": cells}


def _unwatched(_: str) -> AbstractContextManager[Callable[[dict[str, Any]], None]]:
    return nullcontext(lambda record: None)


def reproduce(
    paper: str,
    *,
    tables: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    seeds: int | None = None,
    quick: bool = False,
    collect: bool = False,
    protocol: str | None = None,
    data: Path | None = None,
    runs: Path | None = None,
    results: Path | None = None,
    device: str = "cpu",
    tell: Callable[[str], None] = lambda text: None,
    watch: Watch = _unwatched,
) -> Reproduction:
    """Train, measure and write down the cells of a paper's tables.

    A finished run is not trained again, an unfinished one goes on from its checkpoint; the results file is written anew
    after every cell, and its lines of other cells stay.

    Args:
        paper: name of a folder below ``papers/``, or the path of one.
        tables, rows, targets: names; None: all. A row may be named by its slug (``dns-star-gs``).
        seeds: 1 to this one, for every row; None: as many as the row says.
        quick: few epochs and one seed, in folders and a results file of their own: to see that all runs.
        collect: train nothing: measure what is trained, of every cell the seeds up to the first that is not, and tell the rest.
            A line of the results file that is of more seeds stays.
        protocol: name of a variant of the recipe (``honest``, ``authors``), or ``all``; None: ``honest``, and for a table that
            is not made under it the one that is.
        data: the folder of the logs, or of all logs.
        runs: where run folders are; None: ``runs/PAPER``.
        results: the file to write; None: ``results.csv`` beside the recipe.
        device: where to train and to rank.
        tell: called with a line of what happens now.
        watch: watches a training (see :data:`~crossrec.reproduction.trainings.Watch`).

    Raises InputError for names that do not exist, logs that are not there, runs of other settings, and nothing to collect.
    """
    folder = find_paper(paper)
    recipe, expected = load_recipe(folder), read_expected(folder)
    cells = recipe.cells(tables, rows, targets, protocol)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("Tables are made in one process: start without torchrun.")
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds must be 1 or more, not {seeds}.")
    if quick and results is not None:
        raise InputError("--quick has a results file of its own, below --runs: leave --results out.")
    place = runs or Path("runs", recipe.paper)
    path = place / "quick" / RESULTS if quick else results or folder / RESULTS
    read_lines(path)
    chosen = list(recipe.tables) if tables is None else list(tables)
    trainings = Trainings(recipe, place, watch, tell, data, quick, device)
    many = [seeds or (1 if quick else cell.row.seeds[cell.variant.name]) for cell in cells]
    plan = [(cell, range(1, 1 + count)) for cell, count in zip(cells, many, strict=True)]
    for cell, numbers in plan:
        for seed in numbers:
            trainings.check(cell, seed)
    if collect:
        plan = _trained(trainings, plan, tell)
    own = [name for variant in recipe.variants for names in variant.metrics.values() for name in names]
    order = _order(recipe, {table: [*metrics_of(table, recipe, expected), *own] for table in recipe.tables})
    found: list[Measured] = []
    for number, (cell, numbers) in enumerate(plan, start=1):
        tell(f"Cell {number} of {len(plan)}: {cell}")
        for seed in numbers:
            trainings.train(cell, seed)
            trainings.evaluate(cell, seed)
        new = measured(trainings, cell, list(numbers), chosen, expected)
        with alone(place / "results", lambda: None):
            left = merge_lines(path, [one.line for one in new], order, over_more_seeds=not collect)
        if left:
            tell(f"Left as it is in {path.name}, where more seeds stand: {cell}")
        found += new
    return Reproduction(recipe, tuple(found), path, quick)


def _trained(
    trainings: Trainings, plan: Sequence[tuple[Cell, range]], tell: Callable[[str], None]
) -> list[tuple[Cell, range]]:
    """What of a plan is trained: of every cell the seeds up to the first that is not. Raises InputError for nothing."""
    found = []
    for cell, numbers in plan:
        missing = next((seed for seed in numbers if not trainings.finished(cell, seed)), numbers.stop)
        if missing < numbers.stop:
            last = f" to {numbers[-1]}" if missing < numbers[-1] else ""
            tell(f"Not trained: {cell}, seed {missing}{last}")
        if missing > numbers.start:
            found.append((cell, range(numbers.start, missing)))
    if not found:
        raise InputError(
            f"None of this is trained below {trainings.runs}: name another folder with --runs, or leave --collect out."
        )
    return found


def _order(recipe: Recipe, metrics: Mapping[str, Sequence[str]]) -> Callable[[Mapping[str, str]], tuple[int, ...]]:
    """The recipe's order of lines; what it does not know comes last."""
    data = [one.name for one in recipe.data]
    rows = [row.name for row in recipe.rows]
    protocols = [name for variant in recipe.variants for name in variant.protocols]

    def place(name: str, known: Sequence[str]) -> int:
        return known.index(name) if name in known else len(known)

    def key(line: Mapping[str, str]) -> tuple[int, ...]:
        return (
            place(line["table"], list(recipe.tables)),
            place(line["data"], data),
            place(line["target"], recipe.targets),
            place(line["row"], rows),
            place(line["protocol"], protocols),
            place(line["metric"], metrics.get(line["table"], ())),
        )

    return key
