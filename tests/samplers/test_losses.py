"""Chosen negatives beside drawn ones in every loss: specs of RealHNS, section 3."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from crossrec.data.batches import Batch
from crossrec.samplers.base import Negatives, Sampler
from crossrec.samplers.uniform import UniformConfig
from crossrec.train.objective import Parts, loss_of
from crossrec.train.settings import TrainConfig


class Given(Sampler):
    """Negatives that are given."""

    name, Config = "given", UniformConfig
    found: Negatives

    def draw(self, *_: Any) -> Negatives:
        return self.found


@pytest.fixture
def loss_with(fixed):
    """The loss of one query whose positive scores 2; items 1, 2, ... score 1, -1 and 3."""
    model, _, _ = fixed(torch.tensor([[2.0], [1.0], [-1.0], [3.0]]), torch.ones(1, 1))
    start = model.start
    batch = Batch("toys", {}, torch.tensor([0]), torch.tensor([start]))

    def find(loss: str, drawn: list[int], hard: list[int] | None, shared: bool = False, vectors: bool = False) -> float:
        sampler = Given()
        log_q = torch.tensor(-math.log(4))
        chosen = None if hard is None else Negatives(torch.tensor([hard]) + start)
        if vectors and chosen is not None:
            chosen = Negatives(vectors=model.items(chosen.ids))
        ids = torch.tensor(drawn if shared else [drawn]) + start
        sampler.found = Negatives(ids, log_q=log_q, hard=chosen)
        config = TrainConfig(loss=loss, negatives=len(drawn) + len(hard or ()))
        return loss_of(model, batch, Parts({"toys": sampler}), config, torch.Generator()).item()

    return find


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("vectors", [False, True])
def test_golden_loss_however_it_is_split(shared, vectors, loss_with) -> None:
    """G6: positive 2, negatives 1 and -1."""
    for drawn, hard in ([1], [2]), ([2], [1]), ([1, 2], None):
        assert loss_with("bce", drawn, hard, shared, vectors) == pytest.approx(0.940190, abs=1e-6)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize("shared", [False, True])
def test_every_negative_weighs_the_same(shared, loss_with) -> None:
    expected = (softplus(1 - 2) + softplus(-1 - 2) + softplus(3 - 2)) / 3
    for drawn, hard in ([1], [2, 3]), ([1, 2], [3]), ([1, 2, 3], None):
        assert loss_with("bpr", drawn, hard, shared) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_in_sampled_softmax_a_drawn_one_stands_for_the_catalogue_and_a_chosen_one_for_itself(shared, loss_with) -> None:
    """Two draws of four items weigh two items each."""
    drawn = 2 * math.exp(1) + 2 * math.exp(-1)
    expected = math.log(math.exp(2) + drawn) - 2
    assert loss_with("sampled_softmax", [1, 2], None, shared) == pytest.approx(expected, abs=1e-6)
    expected = math.log(math.exp(2) + drawn + math.exp(3)) - 2
    assert loss_with("sampled_softmax", [1, 2], [3], shared) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("loss", "expected"), [("bce", 0.126928), ("bpr", 0.0)])
def test_a_shared_draw_of_the_positive_does_not_count(loss, expected, loss_with) -> None:
    assert loss_with(loss, [0], None, shared=True) == pytest.approx(expected, abs=1e-6)
