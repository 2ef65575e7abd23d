"""A loss that is no number stops the run, names the batch, and leaves the last checkpoint."""

from __future__ import annotations

import re

import pytest
import torch

from crossrec.data.splits import LeaveLastOut
from crossrec.models.sasrec import SASRec
from crossrec.samplers.base import Negatives
from crossrec.samplers.uniform import Uniform
from crossrec.testing.worlds import tiny_world
from crossrec.train.checkpoint import Checkpoint
from crossrec.train.fit import fit
from crossrec.train.loop import TrainingError


class Poisoned(Uniform):
    """Draws vectors that are no numbers at the second batch of the third epoch."""

    name = "uniform"

    def begin_epoch(self, model, epoch, generator):
        self.epoch, self.batch = epoch, 0

    def draw(self, batch, query_PD, model, count, generator):
        self.batch += 1
        if (self.epoch, self.batch) != (3, 2):
            return super().draw(batch, query_PD, model, count, generator)
        self.users = set(batch.user_P.tolist())
        POISONED.append(self.users)
        return Negatives(vectors=torch.full((len(batch), count, query_PD.shape[1]), torch.nan))


POISONED: list[set[int]] = []
"""Users of the poisoned batches."""


def test_the_batch_is_named_and_the_run_can_go_on_from_the_checkpoint(split, tiny, whole, same_run, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(TrainingError) as caught:
        fit("sasrec", split, sampler=Poisoned, out=run, **tiny)
    message = str(caught.value)
    assert "not a finite number in phase 0, epoch 3, batch 1 (users " in message
    assert set(re.findall(r"\bu\d+", message)) == {f"u{user}" for user in POISONED[-1]}
    assert Checkpoint.load(run).numbers["progress"]["epoch"] == 2
    assert not (run / "weights.safetensors").exists()
    fit("sasrec", split, out=run, resume=True, **tiny)
    same_run(run, whole)


def test_many_users_are_counted(tiny):
    many = LeaveLastOut("toys").apply(tiny_world(users=100))
    with pytest.raises(TrainingError, match=r"\(users (u\d+, ){19}u\d+ and \d+ more\)"):
        fit("sasrec", many, sampler=Poisoned, **{**tiny, "batch": 40})


def test_weights_that_are_no_numbers_are_not_saved(split, tiny, tmp_path):
    """The last step of an epoch may break the weights after its loss was still a number."""
    model, settings = SASRec(dim=8, blocks=1), {**tiny}
    del settings["model_settings"]

    def poison(record):
        if record["epoch"] == 2:
            with torch.no_grad():
                model.table.weight[3, 0] = torch.inf

    with pytest.raises(TrainingError, match="weights are not finite numbers after phase 0, epoch 2"):
        fit(model, split, out=tmp_path / "run", log=poison, **settings)
    assert Checkpoint.load(tmp_path / "run").numbers["progress"]["epoch"] == 1
