"""A guarded merged model: what has no weight is not computed, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import crossrec as cr
from crossrec.testing.conformance import whole
from crossrec.testing.law import TARGET, law_split

SETTINGS = {"dim": 8, "max_len": 20, "domains": "merged"}


@pytest.fixture(scope="module", params=["target", "all"])
def recommender(request: pytest.FixtureRequest) -> Any:
    return cr.fit(cr.SASRec(**SETTINGS, guard="blend", predict=request.param), law_split(), epochs=2, seed=1)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
@torch.no_grad()
def test_the_score_is_that_of_both_models_weighed(recommender: Any, weight: float) -> None:
    model, batch = recommender.model, whole(recommender)
    block = torch.arange(model.block(TARGET).start, model.block(TARGET).stop)
    scores = {}
    for name, one in (("own", 0.0), ("merged", 1.0), ("both", weight)):
        model.choose(one)
        scores[name] = model.scores(batch, TARGET)
    expected = (1 - weight) * scores["own"] + weight * scores["merged"]
    assert torch.allclose(scores["both"], expected, atol=1e-5)
    assert not torch.allclose(scores["own"], scores["merged"], atol=1e-2)
    halves = sum(model.counts)
    assert model.items(block).shape[1] == model.queries(batch).shape[1] == 8 * halves
    assert halves == (2 if weight == 0.25 or (weight == 0 and len(model.serves()) > 1) else 1)


@torch.no_grad()
def test_another_domain_is_the_merged_models_alone(recommender: Any) -> None:
    model = recommender.model
    others = [name for name in model.serves() if name != TARGET]
    asked = [recommender.recommend(histories=[{"games": ["games3", "games4"]}], domain=name, k=5) for name in others]
    for weight in (0.0, 0.5, 1.0):
        model.choose(weight)
        for name, first in zip(others, asked, strict=True):
            again = recommender.recommend(histories=[{"games": ["games3", "games4"]}], domain=name, k=5)
            assert again["item"].to_pylist() == first["item"].to_pylist()
