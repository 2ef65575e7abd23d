"""A tiny simulated world on its way through the commands: logs, prepared, two runs."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crossrec.cli import main
from crossrec.data.dataset import Dataset
from crossrec.data.simulate import simulate
from crossrec.data.worlds import World

TINY = ("--set", "dim=8", "--set", "epochs=2", "--set", "blocks=1", "--set", "negatives=16")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The object on standard output: exactly one, and nothing else there."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


Command = Callable[..., Outcome]


def call(*arguments: object) -> Outcome:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in arguments])
    return Outcome(int(left.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def crossrec() -> Command:
    """``crossrec("train", folder, ...)``."""
    return call


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "logs"
    simulate(World(domains=["toys", "games"], users=150, items=170, events=8, interests=5, seed=3)).write(folder)
    return folder


@pytest.fixture(scope="session")
def prepared(logs: Path) -> Path:
    return Dataset.from_folder(logs).save(logs.parent / "prepared")


@pytest.fixture(scope="session")
def run(prepared: Path) -> Path:
    """A trained run of the target's histories alone; nobody changes it."""
    return _trained(prepared, "single", "--seed", "1")


@pytest.fixture(scope="session")
def merged(prepared: Path) -> Path:
    """Another one, of both domains' histories: trained in several phases, and recommends in both."""
    return _trained(prepared, "merged", "--set", "domains=merged", "--seed", "1")


@pytest.fixture(scope="session")
def leaky(prepared: Path) -> Path:
    """One that was trained under the authors' split."""
    return _trained(prepared, "leaky", "--split", "authors")


def _trained(prepared: Path, name: str, *options: str) -> Path:
    folder = prepared.parent / name
    outcome = call("train", prepared, "--target", "toys", "--model", "sasrec", *TINY, *options, "--out", folder)
    assert outcome.code == 0, outcome.err
    return folder
