"""The house rules that a machine can hold: sizes, layers, docstrings, what may be imported and said."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import crossrec
from crossrec.config import describe
from crossrec.data.filters import Filters
from crossrec.data.splits import SPLITS
from crossrec.data.worlds import World
from crossrec.models.table import MODELS
from crossrec.plugins.table import PLUGINS
from crossrec.samplers.table import SAMPLERS
from crossrec.serve.update_report import UpdateConfig
from crossrec.train.settings import TrainConfig

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "crossrec"
FILES = sorted(SOURCE.rglob("*.py"))
CONFIGS = (
    *(model.Config for model in MODELS.values()),
    *(sampler.Config for sampler in SAMPLERS.values()),
    *(plugin.Config for plugin in PLUGINS.values()),
    *SPLITS.values(),
    TrainConfig,
    Filters,
    UpdateConfig,
    World,
)
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
FLOOR = {"errors", "config", "streams", "runs"}
"""Rooms that stand on nothing but each other: anybody may use them."""
LAYERS = {
    "data": set(),
    "nn": {"data"},
    "models": {"data", "nn"},
    "samplers": {"data", "models"},
    "plugins": {"data", "models", "samplers"},
    "recommender": {"data", "models"},
    "evaluation": {"data", "models", "recommender"},
    "train": {"data", "nn", "models", "samplers", "plugins", "evaluation", "recommender"},
    "retrieve": {"data", "nn", "models", "recommender"},
    "serve": {"data", "models", "recommender", "retrieve", "train", "evaluation"},
    "experiments": {"data", "models", "samplers", "plugins", "train", "evaluation", "recommender"},
    "reproduction": {"data", "models", "samplers", "plugins", "train", "evaluation", "recommender", "experiments"},
    "doctor": set(),
}
"""Who may import whom, beside the floor and themselves. ``testing`` may import all but ``cli``, and ``cli`` everything."""


def room_of(path: Path) -> str:
    """The folder below ``crossrec``, or the file that stands beside them."""
    inside = path.relative_to(SOURCE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text())


def imported(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, wherever in it, for types or not."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names if node.module == "crossrec")


def rooms_imported(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imported(path) if name.startswith("crossrec.")}
    return names - set(crossrec.__all__) - {room_of(path)}


def called(path: Path) -> set[str]:
    """Plain names of the functions that a file calls."""
    nodes = ast.walk(tree_of(path))
    return {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def offenders(wrong: Callable[[Path], object]) -> list[str]:
    """The files of which something is true."""
    return [str(path.relative_to(SOURCE)) for path in FILES if wrong(path)]


def said(pattern: str) -> list[str]:
    """The lines of the package that hold a pattern."""
    lines = [(path, line) for path in FILES for line in path.read_text().splitlines()]
    return [f"{path.relative_to(SOURCE)}: {line.strip()}" for path, line in lines if re.search(pattern, line)]


def test_no_file_is_too_long_and_most_are_short():
    lengths = {path: len(path.read_text().splitlines()) for path in FILES}
    assert offenders(lambda path: lengths[path] > 400) == []
    assert statistics.median(lengths.values()) < 150


def test_no_function_is_too_long():
    long = [
        f"{path.relative_to(SOURCE)}: {node.name}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, FUNCTION) and node.end_lineno - node.lineno + 1 > 80
    ]
    assert long == []


def test_every_file_and_every_public_thing_says_what_it_is():
    assert offenders(lambda path: path.read_text() and not ast.get_docstring(tree_of(path))) == []
    silent = [
        f"{path.relative_to(SOURCE)}: {node.name}"
        for path in FILES
        for node in tree_of(path).body
        if isinstance(node, (*FUNCTION, ast.ClassDef)) and node.name[0] != "_" and not ast.get_docstring(node)
    ]
    assert silent == []


def test_the_command_line_alone_prints():
    assert offenders(lambda path: room_of(path) != "cli" and "print" in called(path)) == []


def test_no_table_library_and_no_pickle():
    banned = {"polars", "pandas", "pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    assert offenders(lambda path: banned & {name.partition(".")[0] for name in imported(path)}) == []
    assert said(r"torch\.(save|load)\(|allow_pickle=True") == []


def test_the_global_generators_are_left_alone():
    assert said(r"np\.random\.(seed|rand|randn|randint|shuffle|choice|permutation)\(|torch\.(manual_seed|seed)\(") == []
    assert offenders(lambda path: "random" in set(imported(path))) == []


def test_what_waits_or_is_exempt_has_its_reason():
    assert said(r"\b(TODO|FIXME|XXX)\b(?!\([^)]{8,}\): \S)") == []
    assert said(r"#\s*type: ignore(\[[\w, -]+\])?\s*[-#\s]*\w{0,5}$") == []
    assert said(r"#\s*noqa(: [A-Z0-9, ]+)?\s*[-#\s]*$") == []


def test_rooms_import_what_they_may():
    wrong = []
    for path in FILES:
        room = room_of(path)
        if room in ("cli", "__main__", "__init__"):
            continue
        allowed = FLOOR | LAYERS.get(room, set())
        if room == "testing":
            allowed |= LAYERS.keys()
        wrong += [f"{path.relative_to(SOURCE)} imports {other}" for other in rooms_imported(path) - allowed]
    assert wrong == []


def test_every_room_has_its_layer():
    rooms = {room_of(path) for path in FILES}
    assert rooms == LAYERS.keys() | FLOOR | {"testing", "cli", "__main__", "__init__"}


def test_layers_have_no_circle():
    placed: set[str] = set()
    left = dict(LAYERS)
    while left:
        ready = [room for room, below in left.items() if below <= placed]
        assert ready, f"a circle among {sorted(left)}"
        placed |= set(ready)
        left = {room: below for room, below in left.items() if room not in placed}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__qualname__)
def test_every_setting_has_its_docstring(config):
    assert [setting.name for setting in describe(config) if len(setting.doc) < 10] == []


@pytest.mark.parametrize("kinds", [MODELS, SAMPLERS], ids=["models", "samplers"])
def test_every_setting_of_a_model_or_sampler_names_its_source(kinds):
    """In brackets: a paper's section, published code, or ours. What a tensor or a switch merely is needs none."""
    loose = [
        f"{kind.__name__}.{setting.name}"
        for kind in kinds.values()
        for setting in describe(kind.Config)
        if "(" not in setting.doc and setting.type in ("int", "float", "float | None", "int | None")
    ]
    assert loose == []


def test_public_names_are_where_they_are_said_to_be():
    for name in crossrec.__all__:
        assert getattr(crossrec, name) is not None
    tree = tree_of(SOURCE / "__init__.py")
    typed = {
        name.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("crossrec.")
        for name in node.names
    }
    assert typed == crossrec._PLACES


def test_import_is_light():
    code = "import sys, crossrec; print([m for m in ('torch', 'numpy', 'pyarrow', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_contributing_shows_every_room():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert [room for room in sorted(rooms) if f"`src/crossrec/{room}/`" not in page] == []
    said = re.findall(r"^\| `([\w./]+/)`", page, flags=re.MULTILINE)
    assert [folder for folder in said if not (ROOT / folder).is_dir()] == []


def test_versions_agree():
    told = [
        re.search(r"^version\W+([\d.]+)", (ROOT / name).read_text(), re.MULTILINE)
        for name in ("pyproject.toml", "CITATION.cff")
    ]
    assert [version and version[1] for version in told] == [crossrec.__version__] * 2
    assert crossrec.__version__ in (ROOT / "CHANGELOG.md").read_text()


def test_every_file_of_the_package_can_be_imported():
    for path in FILES:
        name = ".".join(("crossrec", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        if not name.endswith(("__main__", ".plots")):
            importlib.import_module(name)
