"""Random streams: named, independent, saved, and never the global generators."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from crossrec.data.splits import LeaveLastOut
from crossrec.models.sasrec import SASRec
from crossrec.streams import NAMES, Streams, derive
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit


def drawn(streams: Streams, name: str) -> list[float]:
    return torch.rand(4, generator=streams[name]).tolist()


def test_streams_follow_seed_and_name():
    assert derive(1, "order") == derive(1, "order")
    assert len({derive(seed, name) for seed in range(20) for name in NAMES}) == 20 * len(NAMES)
    assert derive(7, "init") == 6637165765339535468
    assert drawn(Streams(1), "order") == drawn(Streams(1), "order") != drawn(Streams(2), "order")


def test_streams_are_independent():
    """What is drawn from one does not move another."""
    one, other = Streams(3), Streams(3)
    for name in NAMES[1:]:
        drawn(one, name)
    assert drawn(one, NAMES[0]) == drawn(other, NAMES[0])


def test_a_saved_state_goes_on_where_it_was():
    streams = Streams(5)
    drawn(streams, "negatives")
    state = {name: value.clone() for name, value in streams.state().items()}
    expected = {name: drawn(streams, name) for name in NAMES}
    fresh = Streams(99)
    fresh.load_state(state)
    assert {name: drawn(fresh, name) for name in NAMES} == expected


def test_ambient_lends_the_global_generator_and_gives_it_back():
    streams, twin = Streams(3), Streams(3)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    with streams.ambient("model"):
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.tolist() == torch.rand(3, generator=twin["model"]).tolist()


def test_ambient_gives_back_after_an_error():
    streams = Streams(3)
    before = torch.get_rng_state()

    def fail() -> None:
        with streams.ambient("model"):
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(streams["model"].get_state(), Streams(3)["model"].get_state())


def test_training_leaves_the_global_generators_as_they_were_and_does_not_depend_on_them():
    split = LeaveLastOut("toys").apply(tiny_world())
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global generator is what is looked at
        random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002 - as above
        fitted = fit(SASRec(dim=8, blocks=1), split, seed=4, epochs=2, negatives=8, batch=16, protocol="sampled:5")
        weights.append(fitted.model.state_dict())
        assert torch.equal(before[0], torch.get_rng_state())
        assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002 - as above
        assert before[2] == random.getstate()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_seed_of_a_run_changes_its_weights():
    split = LeaveLastOut("toys").apply(tiny_world())
    one, other = (
        fit(SASRec(dim=8, blocks=1), split, seed=seed, epochs=1, negatives=8).model.state_dict() for seed in (1, 2)
    )
    assert not torch.equal(one["table.weight"], other["table.weight"])
