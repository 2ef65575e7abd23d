"""A run that takes over phases of another ends bit for bit where it would have ended by itself."""

from __future__ import annotations

import pytest
import torch

from crossrec.data.splits import LeaveLastOut
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit

TINY = {"batch": 16, "epochs": 2, "negatives": 4, "model_settings": {"dim": 8, "source_epochs": 2}, "seed": 3}


@pytest.fixture(scope="module")
def split():
    return LeaveLastOut("toys").apply(tiny_world(users=40))


@pytest.fixture(scope="module")
def first(split, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "first"
    fit("twotower", split, out=run, **TINY)
    return run


def same(a, b) -> bool:
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_phases_are_taken_over_exactly(split, first):
    other = {**TINY, "sampler": "popularity"}
    alone = fit("twotower", split, **other)
    started = fit("twotower", split, start=first, **other)
    assert started.info["taken_over"] == ["alone:games", "alone:toys"]
    assert same(alone, started)


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ({"seed": 4}, []),
        ({"lr": 0.1, "model_settings": {"dim": 8, "source_epochs": 2, "pretrain_lr": 0.01}}, []),
        ({"negatives": 5}, []),
        ({"model_settings": {"dim": 8, "source_epochs": 2, "max_len": 7}}, []),
        ({}, ["alone:games", "alone:toys"]),
    ],
)
def test_other_phases_are_not(split, first, changed, taken):
    started = fit("twotower", split, start=first, **(TINY | changed))
    assert started.info.get("taken_over", []) == taken
