"""Exact resume: a run that is killed at any moment ends, resumed, bit for bit where it would have ended."""

from __future__ import annotations

import json
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest

from crossrec.data.splits import LeaveLastOut
from crossrec.errors import InputError
from crossrec.testing.worlds import tiny_world
from crossrec.train.checkpoint import Checkpoint
from crossrec.train.fit import fit

CHECKPOINTS = {
    "in_the_middle_of_an_epoch": 2,
    "while_a_checkpoint_is_written": 1,
    "between_the_renames_of_a_checkpoint": 1,
    "after_the_metrics_before_the_checkpoint": 1,
    "before_the_first_checkpoint": None,
    "when_all_is_trained": 4,
}
"""Per moment of the kill, the epoch whose checkpoint is the newest whole one."""


@pytest.fixture(scope="module")
def killed(program, tiny, tmp_path_factory) -> Path:
    """A folder with a killed run for every moment."""
    folder: Path = tmp_path_factory.mktemp("killed")
    done = program("killed_runs.py", folder, json.dumps(tiny))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == dict.fromkeys(CHECKPOINTS, -signal.SIGKILL)
    return folder


@pytest.mark.parametrize("moment", CHECKPOINTS)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(moment, killed, split, tiny, whole, same_run):
    run, epoch = killed / moment, CHECKPOINTS[moment]
    assert not (run / "weights.safetensors").exists()
    found = Checkpoint.load(run)
    assert (found and found.numbers["progress"]["epoch"]) == epoch
    fit("sasrec", split, out=run, resume=True, **tiny)
    same_run(run, whole)


def test_a_finished_run_may_be_resumed(split, tiny, whole, same_run, tmp_path):
    again = tmp_path / "run"
    shutil.copytree(whole, again)
    fit("sasrec", split, out=again, resume=True, **tiny)
    same_run(again, whole)


@pytest.mark.parametrize("model, settings", [("twotower", {"source_epochs": 2}), ("sasrec", {"domains": "merged"})])
def test_a_run_of_several_phases_goes_on_in_the_one_it_was_in(model, settings, split, goes_on):
    """Stopped after any of its records: earlier phases are not run again, and what they learned is kept."""
    arguments = {"seed": 1, "epochs": 2, "negatives": 8, "checkpoint_seconds": 0.0}
    arguments["model_settings"] = {"dim": 8, "blocks": 1, **settings}
    records = goes_on(partial(fit, model, split, **arguments))
    assert len({line["phase"] for line in records}) == 3


def test_resume_refuses_other_settings_and_other_data(split, tiny, whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    with pytest.raises(InputError, match=r"other settings \(train\)"):
        fit("sasrec", split, out=run, resume=True, **{**tiny, "lr": 0.1})
    with pytest.raises(InputError, match=r"other settings \(data_hash\)"):
        fit("sasrec", LeaveLastOut("toys").apply(tiny_world(seed=1)), out=run, resume=True, **tiny)
    with pytest.raises(InputError, match="is not empty"):
        fit("sasrec", split, out=run, **tiny)
    with pytest.raises(InputError, match="resume needs out"):
        fit("sasrec", split, resume=True, **tiny)


def test_a_broken_checkpoint_says_so(split, tiny, stopped):
    (stopped / "checkpoint" / "optimizer.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match=r"checkpoint .* cannot be read .* Remove it to start anew"):
        fit("sasrec", split, out=stopped, resume=True, **tiny)


def test_a_finished_run_keeps_no_checkpoint(whole):
    assert not (whole / "checkpoint").exists()


def test_a_resumed_run_counts_all_its_seconds(split, tiny, stopped):
    before = Checkpoint.load(stopped)
    assert min(before.numbers["spent"]) > 0
    Checkpoint(before.groups, before.numbers | {"spent": [1000.0, 2000.0]}).save(stopped)
    found = fit("sasrec", split, out=stopped, resume=True, **tiny).info
    assert 1000 < found["wall_seconds"] < 1900
    assert 2000 < found["cpu_seconds"] < 2900
