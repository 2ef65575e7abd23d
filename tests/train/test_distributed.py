"""Two processes under torchrun: the same loss as one, and an exact resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from crossrec.data.batches import Batcher, TrainingRows, Views
from crossrec.errors import InputError
from crossrec.train import distributed
from crossrec.train.fit import fit

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def arguments(tiny):
    """No dropout, negatives shared by the batch; the last batch of an epoch has one row, so that a process has none."""
    settings = {**tiny["model_settings"], "dropout": 0.0}
    return {**tiny, "model_settings": settings, "batch": 7, "negatives": 16}


@pytest.fixture(scope="module")
def together(program, arguments, tmp_path_factory) -> Path:
    """The folder of the runs of two processes."""
    folder: Path = tmp_path_factory.mktemp("together")
    done = program("shared_runs.py", folder, json.dumps(arguments), launcher=TORCHRUN)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_two_processes_have_the_loss_of_one(split, arguments, together, records, tmp_path):
    fit("sasrec", split, out=tmp_path / "alone", **arguments)
    alone, shared = records(tmp_path / "alone"), records(together / "whole")
    assert [line["epoch"] for line in shared] == [1, 2, 3, 4]
    for one, two in zip(alone, shared, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two["valid"] == pytest.approx(one["valid"], abs=1e-3)
    tables = [
        load_file(run / "weights.safetensors")["table.weight"] for run in (tmp_path / "alone", together / "whole")
    ]
    torch.testing.assert_close(*tables, atol=1e-4, rtol=1e-4)


def test_one_batch_leaves_a_process_without_a_row(split, arguments):
    rows = TrainingRows(Batcher(split.events, Views({"history": ("toys", "games")}, 10)), split.train, ("toys",))
    assert len(rows) % arguments["batch"] == 1


def test_every_process_ends_with_the_same_weights(together):
    one, other = (load_file(together / f"process-{number}.safetensors") for number in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_shared_run_goes_on_exactly(together, same_run):
    same_run(together / "resumed", together / "whole")


def test_a_checkpoint_of_two_processes_is_not_for_one(split, arguments, together, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(together / "stopped", run)
    with pytest.raises(InputError, match="of 2 processes and now there are 1"):
        fit("sasrec", split, out=run, resume=True, **arguments)


def test_alone_nothing_is_shared():
    tensor = torch.arange(3)
    assert (distributed.rank(), distributed.world()) == (0, 1)
    assert distributed.total(tensor) is tensor
    assert distributed.gather(tensor) == [tensor]
    distributed.wait()


def test_a_device_that_is_not_here():
    assert distributed.device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="'abacus' cannot be used here"):
        distributed.device("abacus")
