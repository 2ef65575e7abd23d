"""Settings that make no sense are refused before anything is trained; catalogues that are too small are not."""

from __future__ import annotations

import pytest
import torch

from crossrec.data.splits import LeaveLastOut
from crossrec.errors import InputError
from crossrec.samplers.table import SAMPLERS, make
from crossrec.testing.worlds import tiny_world


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("realhns", {"base": "srns"}, "RealHNSConfig.base must be one of 'dns_star', 'dns', 'mixgcf', not 'srns'"),
        ("realhns", {"band": (30, 20)}, "from a lower to a higher percentage .* not 30 to 20"),
        ("realhns", {"cross_band": (0, 0)}, "from a lower to a higher percentage"),
        ("realhns", {"band": (10, 20, 30)}, "A band is two percentages"),
        ("realhns", {"band": 30}, "RealHNSConfig.band must be"),
        ("realhns", {"user_clusters": 0}, "user_clusters must be at least 1, not 0"),
        ("realhns", {"sample": -1}, "sample must be at least 0, not -1"),
        ("realhns", {"every": 0}, "every must be at least 1"),
        ("realhns", {"strictness": 0.5}, r"strictness must be at least 1, not 0\.5"),
        ("realhns", {"clusters": 4}, "has no setting 'clusters'"),
        ("dns", {"hard": -1}, "DNSConfig.hard must be at least 0"),
        ("dns", {"candidates": 0}, "candidates must be at least 1"),
        ("mixgcf", {"pool": 0}, "pool must be at least 1"),
        ("dns_star", {"top": 0}, "top must be at least 1"),
        ("srns", {"hard": 30}, "30 hard negatives from a memory of 20"),
        ("srns", {"history": 0}, "history must be at least 1"),
    ],
)
def test_bad_settings(name, settings, message) -> None:
    with pytest.raises(InputError, match=message):
        make(name, **settings)


def test_an_unknown_sampler() -> None:
    with pytest.raises(InputError, match=r"There is no sampler 'realhn'.*realhns"):
        make("realhn")


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_catalogue_smaller_than_anything_that_is_asked_for(name, made, draw) -> None:
    """Four items: fewer than the pool, the best of it, the clusters, the memory and the negatives."""
    split = LeaveLastOut("toys").apply(tiny_world(users=9, sizes={"toys": 4, "games": 3}, events=8))
    drawn = draw(make(name), made("twotower", split), split, 30, epoch=24)
    found = drawn.hard_PH if drawn.found.hard is None else torch.cat([drawn.found.ids, drawn.hard_PH], 1)
    assert found.shape == (len(drawn.batch), 30)
    assert set(found.flatten().tolist()) <= set(split.data.catalogue.block("toys"))
