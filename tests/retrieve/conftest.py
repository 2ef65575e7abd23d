"""Small fitted models of the tiny world with one law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crossrec.models import table
from crossrec.recommender import Recommender
from crossrec.testing.law import law_split
from crossrec.train.fit import fit

Make = Callable[..., Recommender]


@pytest.fixture(scope="package")
def fitted() -> Make:
    """``fitted("sasrec", dim=8)``: trained for a moment, once for all tests, which leave it as it is."""
    made: dict[str, Recommender] = {}

    def make(name: str, **settings: Any) -> Recommender:
        key = f"{name}{sorted(settings.items())}"
        if key not in made:
            model = table.make(name, **settings)
            made[key] = fit(model, law_split(), epochs=2, batch=32, lr=1e-2, negatives=8, seed=3)
        return made[key]

    return make
