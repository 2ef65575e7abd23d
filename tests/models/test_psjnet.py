"""PSJNet-II: what it passes on, and its conformance; the rest is in test_unit_per_domain.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from crossrec.models.psjnet import PSJNet
from crossrec.testing import ModelTests
from crossrec.testing.unit_per_domain import Array, Weights, every_query_is_the_formula, sigmoid


class TestPSJNet(ModelTests):
    model = PSJNet(dim=8, max_len=20, dropout=0.0)


def passed(weights: Weights, pairs: Sequence[tuple[Array, Array]], own: Array) -> Array:
    """Equations 6.7 and 6.8, over a table padded with parts that must not count."""
    parts = []
    for h, other in pairs:
        for u in weights("roles"):
            gate = np.concatenate([h, other]) @ weights("gate") + u @ weights("role_gate") + weights("gate_bias")
            parts.append(sigmoid(gate) * np.tanh(h @ weights("new") + u @ weights("role_new") + weights("new_bias")))
    if not parts:
        return np.zeros_like(own)
    padded = np.array(parts + [np.full_like(own, 9.0)] * 3)
    score = (np.tanh(padded @ weights("part") + own @ weights("own") + weights("bias")) @ weights("outer"))[:, 0]
    share = np.where(np.arange(len(padded)) < len(parts), np.exp(score), 0)
    return share @ padded / share.sum()


@pytest.mark.parametrize("domains", [1, 2, 3])
@pytest.mark.parametrize("roles", [1, 3])
def test_every_query_is_the_formula_of_what_came_before_it(roles: int, domains: int) -> None:
    every_query_is_the_formula(PSJNet, domains, passed, roles=roles)
