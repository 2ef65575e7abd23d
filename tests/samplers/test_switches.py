"""Every part of RealHNS can be switched off by itself, and then it is off."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from crossrec.samplers import bands
from crossrec.samplers.realhns import RealHNS

OPEN = {"gradual": False, "gradual_filter": False, "item_clusters": 5, "user_clusters": 3, "outliers": 0.5}
"""Every part is on from the first epoch, and has something to do in a tiny world."""


PARTS = {
    "coarse": lambda sampler: len(sampler.pool_RN) == 0,
    "filter_items": lambda sampler: math.isinf(sampler.threshold) and "threshold" not in sampler.facts(),
    "fine": lambda sampler: True,
    "cross": lambda sampler: sampler.crosses == [] and "outliers" not in sampler.facts(),
    "filter_users": lambda sampler: bool((sampler.crosses[0].place_R >= 0).all()),
    "gradual": lambda sampler: sampler.number == 10,
}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_switched_off(part, split, made, draw) -> None:
    """On in epoch 7 of the curricula: one hard negative and the strictest filter; cross-domain ones come in 24."""
    epoch = 24 if part in ("cross", "filter_users") else 7
    model = made("twotower", split)
    settings = {"item_clusters": 5, "user_clusters": 3, "outliers": 0.5, part: False}
    on, off = RealHNS(**{**settings, part: True}), RealHNS(**settings)
    for sampler in (on, off):
        draw(sampler, model, split, 20, epoch=epoch)
    assert PARTS[part](off)
    assert part == "fine" or not PARTS[part](on)


def test_without_its_curriculum_the_filter_is_lenient_at_once(split, made, draw) -> None:
    thresholds = []
    for gradual in (True, False):
        sampler = RealHNS(item_clusters=5, gradual_filter=gradual)
        draw(sampler, made("twotower", split), split, 20, epoch=6)
        thresholds.append(sampler.threshold)
    assert thresholds[0] / thresholds[1] == pytest.approx(0.23)


def test_without_the_coarse_part_anything_may_be_chosen(split, made, draw) -> None:
    model = made("twotower", split)
    settings = {**OPEN, "cross": False, "filter_items": False, "fine": False, "hard": 100}
    inside, anywhere = (draw(RealHNS(**settings, coarse=coarse), model, split, 100) for coarse in (True, False))
    users = [inside.batch.user_P == user for user in inside.batch.user_P.unique()]
    few, many = ([len(set(d.hard_PH[of].flatten().tolist())) for of in users] for d in (inside, anywhere))
    assert max(few) == 3
    assert min(many) > 15


def test_without_the_fine_part_candidates_are_equally_likely(split, made, draw) -> None:
    model = made("twotower", split)
    settings = {**OPEN, "cross": False, "filter_items": False, "hard": 100, "top": 1}
    best, any_of = (draw(RealHNS(**settings, fine=fine), model, split, 100) for fine in (True, False))
    assert all(len(set(row)) == 1 for row in best.hard_PH.tolist())
    assert all(len(set(row)) == 3 for row in any_of.hard_PH.tolist())


@pytest.mark.parametrize(("coarse", "cross"), [*itertools.product([False, True], repeat=2)])
def test_users_are_asked_only_where_they_must_be(coarse, cross, split, made, monkeypatch) -> None:
    asked = []
    sampler = RealHNS(**OPEN, coarse=coarse, cross=cross)
    monkeypatch.setattr(bands, "select", lambda *a, select=bands.select, **k: asked.append(a) or select(*a, **k))
    sampler.prepare(split, "toys", torch.device("cpu"))
    sampler.begin_epoch(made("twotower", split), 1, torch.Generator())
    assert len(asked) == coarse + cross
    assert bool(sampler.users._batchers) == (coarse or cross)
