"""A tiny world and a tiny run that the tests of training share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from crossrec.data.splits import LeaveLastOut, Split
from crossrec.models.base import Model
from crossrec.recommender import Recommender
from crossrec.testing.runs import figures, interrupt
from crossrec.testing.runs import stopped as stopped_runs
from crossrec.testing.worlds import tiny_world
from crossrec.train import fit as fitting
from crossrec.train import loop
from crossrec.train.fit import fit

Records = Callable[[Path], list[Mapping[str, Any]]]
Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def split() -> Split:
    return LeaveLastOut("toys").apply(tiny_world())


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Arguments of ``fit`` for a run of a fraction of a second, with a checkpoint after every epoch."""
    return {
        "model_settings": {
            "dim": 8,
            "blocks": 1,
            "max_len": 10,
            "dropout": 0.2,
            "domains": "merged",
            "predict": "target",
            "guard": "none",
        },
        "seed": 3,
        "epochs": 4,
        "negatives": 8,
        "batch": 16,
        "first_eval": 1,
        "eval_every": 1,
        "checkpoint_seconds": 0.0,
    }


@pytest.fixture(scope="session")
def whole(split, tiny, tmp_path_factory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder: Path = tmp_path_factory.mktemp("whole") / "run"
    fit("sasrec", split, out=folder, **tiny)
    return folder


@pytest.fixture
def stopped(split, tiny, tmp_path) -> Path:
    """The folder of a run that ended in the middle, after its third record."""

    interrupt(partial(fit, "sasrec", split, **tiny), 3, tmp_path / "stopped")
    return tmp_path / "stopped"


@pytest.fixture(scope="session")
def same_run(records) -> Callable[[Path, Path], None]:
    """Fails unless two run folders hold the same figures and bit for bit the same weights."""

    def check(one: Path, other: Path) -> None:
        assert (one / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()
        assert records(one) == records(other)
        infos = [Recommender.load(folder).info for folder in (one, other)]
        for key in ("best_epoch", "epochs", "split_hash"):
            assert infos[0][key] == infos[1][key]

    return check


@pytest.fixture
def goes_on(same_run, tmp_path) -> Callable[[Callable[..., object]], list[dict[str, Any]]]:
    """``goes_on(train)``: stopped after any of its records and resumed, a run ends as one that nothing interrupts, whose
    records come back.
    """

    def check(train: Callable[..., object]) -> list[dict[str, Any]]:
        train(out=tmp_path / "whole")
        records = figures(tmp_path / "whole")
        for run in stopped_runs(train, range(1, len(records) + 1), tmp_path):
            train(out=run, resume=True)
            same_run(run, tmp_path / "whole")
        return records

    return check


@pytest.fixture
def trained_on(monkeypatch) -> list[Split]:
    """The splits that trainings are given from here on."""
    given: list[Split] = []

    class Watched(loop.Trainer):
        def __init__(self, model: Model, split: Split, *arguments: Any, **named: Any) -> None:
            given.append(split)
            super().__init__(model, split, *arguments, **named)

    monkeypatch.setattr(fitting, "Trainer", Watched)
    return given


@pytest.fixture(scope="session")
def records() -> Records:
    """The lines of a run's metrics, without the seconds."""
    return figures


@pytest.fixture(scope="session")
def program() -> Program:
    """Runs a program of this folder in a process of its own, with as many threads as here."""

    def run(name: str, *arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *launcher, str(Path(__file__).parent / name), *map(str, arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)
        try:
            out, err = child.communicate(timeout=200)
        finally:
            if child.poll() is None:  # and whatever it started
                os.killpg(child.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(command, child.returncode, out, err)

    return run
