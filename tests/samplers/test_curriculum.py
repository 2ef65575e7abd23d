"""The curricula of RealHNS: specs of RealHNS, section 5.6."""

from __future__ import annotations

import math

import pytest

from crossrec.samplers import curriculum
from crossrec.samplers.curriculum import FilterConfig
from crossrec.samplers.realhns import RealHNS

TABLE = [
    (range(1, 6), 0, 0, math.inf),
    (range(6, 8), 1, 0, 0.230000),
    (range(8, 10), 2, 0, 0.264500),
    (range(10, 12), 3, 0, 0.304175),
    (range(12, 14), 4, 0, 0.349801),
    (range(14, 16), 5, 0, 0.402271),
    (range(16, 18), 6, 0, 0.462612),
    (range(18, 20), 7, 0, 0.532004),
    (range(20, 22), 8, 0, 0.611805),
    (range(22, 24), 8, 1, 0.703575),
    (range(24, 26), 8, 2, 0.809112),
    (range(26, 28), 8, 2, 0.930478),
    (range(28, 31), 8, 2, 1.000000),
]
"""Epochs, general and cross-domain negatives, threshold by the scale of the clusters."""


@pytest.mark.parametrize(("epochs", "general", "cross", "strict"), TABLE)
def test_golden_schedule(epochs, general, cross, strict) -> None:
    config, sampler = FilterConfig(), RealHNS()
    for epoch in epochs:
        sampler.epoch = epoch
        assert curriculum.number(config, epoch, 10) == sampler.number == general + cross
        assert sampler._num_cross == cross
        assert curriculum.threshold(config, epoch, 4.752632) / 4.752632 == pytest.approx(strict, abs=5e-7)


def test_thresholds_of_the_golden_filter() -> None:
    """Specs of RealHNS, section 7, G2: with the scale of G1."""
    found = [curriculum.threshold(FilterConfig(), epoch, 4.752632) for epoch in (6, 10, 20, 24, 28)]
    assert found == pytest.approx([1.0931, 1.4456, 2.9077, 3.8454, 4.7526], abs=5e-5)


def test_it_never_ends() -> None:
    """The millionth epoch is as the fiftieth."""
    for config in (FilterConfig(), FilterConfig(growth=10.0, every=1)):
        assert curriculum.threshold(config, 10**6, 0.9) == 0.9
        assert curriculum.number(config, 10**6, 10) == 10


def test_other_paces() -> None:
    config = FilterConfig(start=0, every=3, step=4, strictness=2.0, growth=1.0)
    assert [curriculum.number(config, epoch, 10) for epoch in (1, 3, 4, 6, 7)] == [4, 4, 8, 8, 10]
    assert {curriculum.threshold(config, epoch, 1.0) for epoch in (1, 50)} == {0.5}
    assert curriculum.number(FilterConfig(step=0), 99, 10) == 0
