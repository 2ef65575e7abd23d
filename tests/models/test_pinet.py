"""π-Net: what it passes on, and its conformance; the rest is in test_unit_per_domain.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from crossrec.models.pinet import PiNet
from crossrec.testing import ModelTests
from crossrec.testing.unit_per_domain import Array, Weights, every_query_is_the_formula, sigmoid, unit


class TestPiNet(ModelTests):
    model = PiNet(dim=8, max_len=20, dropout=0.0)


def passed(weights: Weights, pairs: Sequence[tuple[Array, Array]], own: Array) -> Array:
    """Equations 6.2 to 6.5: the filter, member by member, and the unit that reads it."""
    s = t = np.zeros_like(own)
    for h, other in pairs:
        new = []
        for u in weights("members"):
            bias_f, bias_c = np.split(weights("bias"), 2)
            f = sigmoid(np.concatenate([h, other, s]) @ weights("gate") + u @ weights("member_gate") + bias_f)
            inside = np.concatenate([h, s]) @ weights("new")
            new.append(f * s + (1 - f) * np.tanh(inside + u @ weights("member_new") + bias_c))
        s = np.mean(new, 0)
        t = unit(lambda name: weights(f"unit.{name}"), s, t)
    return t


@pytest.mark.parametrize("domains", [1, 2, 3])
@pytest.mark.parametrize("members", [1, 3])
def test_every_query_is_the_formula_of_what_came_before_it(members: int, domains: int) -> None:
    every_query_is_the_formula(PiNet, domains, passed, members=members)
