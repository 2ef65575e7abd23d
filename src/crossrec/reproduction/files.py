"""What a reproduction reads: the paper's folder (``recipe.py``, ``expected.csv``) and the logs."""

from __future__ import annotations

import csv
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from crossrec.errors import InputError, nearest
from crossrec.reproduction.recipe import Data, Recipe

RECIPE, EXPECTED, RESULTS = "recipe.py", "expected.csv", "results.csv"
PAPERS = "papers"
LOGS = "CROSSREC_DATA"
"""Environment variable: the folder of all logs."""
COLUMNS = ("table", "data", "target", "row", "metric", "paper", "note")
CHECKOUT = Path(__file__).parents[3]
"""Where ``papers/`` lies if crossrec runs from its source."""

Key = tuple[str, str, str, str, str]
"""Table, data, target, row and metric of a printed figure."""


def find_paper(name: str) -> Path:
    """The folder of a paper: ``papers/NAME`` here or beside the source, or the path of such a folder.

    Raises InputError, naming the papers that there are.
    """
    rooms = [Path(PAPERS), CHECKOUT / PAPERS]
    for folder in (Path(name), *(room / name for room in rooms)):
        if (folder / RECIPE).is_file():
            return folder.resolve()
    known = {path.parent.name for room in rooms for path in room.glob(f"*/{RECIPE}")}
    found = nearest(name, known) if known else ""
    raise InputError(
        f"There is no paper {name!r}: a folder of it with a {RECIPE} in it, or its name below {PAPERS}/ of this folder or "
        f"of crossrec's source.{found}"
    )


def load_recipe(folder: Path) -> Recipe:
    """The ``RECIPE`` of a paper's folder. Raises InputError where there is none or it says another name."""
    path = folder / RECIPE
    spec = importlib.util.spec_from_file_location(f"crossrec_recipe_{folder.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: it cannot be run ({type(error).__name__}: {error}).") from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise InputError(f"{path}: it must name a crossrec.reproduction.recipe.Recipe RECIPE.")
    if recipe.paper != folder.name:
        raise InputError(f"{path}: it says it is of the paper {recipe.paper!r}, and its folder {folder.name!r}.")
    return recipe


def read_expected(folder: Path) -> dict[Key, tuple[float, str]]:
    """The paper's figures, each with its note; none where the folder has no ``expected.csv``."""
    path = folder / EXPECTED
    if not path.is_file():
        return {}
    found: dict[Key, tuple[float, str]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise InputError(
                f"{path}: its columns must be {', '.join(COLUMNS)}; found {', '.join(rows.fieldnames or ())}."
            )
        for number, row in enumerate(rows, start=2):
            key = (row["table"], row["data"], row["target"], row["row"], row["metric"])
            if key in found:
                raise InputError(f"{path}, line {number}: this cell stands there twice ({', '.join(key)}).")
            try:
                found[key] = (float(row["paper"]), row["note"])
            except ValueError as error:
                raise InputError(f"{path}, line {number}: paper must be a number, not {row['paper']!r}.") from error
    return found


def metrics_of(table: str, recipe: Recipe, expected: Mapping[Key, object]) -> list[str]:
    """The metrics of a table, in the paper's order; the recipe's where the paper prints none."""
    return list(dict.fromkeys(key[4] for key in expected if key[0] == table)) or list(recipe.metrics)


def find_logs(data: Data, given: Path | None = None) -> Path:
    """The folder of the logs: ``given`` (it, or the folder of all logs), that of ``CROSSREC_DATA``, or beside the source.

    Raises InputError where it is at none of these places.
    """
    tried = list(_places(data, given))
    for folder in tried:
        if all(any(folder.glob(f"{target}.*")) for target in data.targets):
            return folder
    raise InputError(
        f"The logs {data.name!r} (files {', '.join(f'{name}.*' for name in data.targets)}) are not in "
        f"{' nor in '.join(map(str, tried))}. Name their folder with --data, or the folder of all logs in {LOGS}."
    )


def _places(data: Data, given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield from (given / data.name, given)
    elif LOGS in os.environ:
        yield Path(os.environ[LOGS], data.name)
    else:
        yield CHECKOUT.parent / "shared" / "data" / data.name
