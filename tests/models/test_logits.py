"""Models that compare a query with an item by something else than a product: trained, ranked and refused where due."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.errors import InputError
from crossrec.models.bprmf import BPRMF
from crossrec.testing.conformance import ModelTests
from crossrec.testing.law import law_split
from crossrec.train.fit import fit


class Distance(BPRMF):
    """The nearer an item is to the query, the better; a query is the mean of its history in training too."""

    name = "distance"
    product = False

    def queries(self, batch: Any) -> Tensor:
        return self._means(batch)

    def auxiliary(self, batch: Any) -> None:
        return None

    def logits(self, query_PD: Tensor, vectors: Tensor, domain: str) -> Tensor:
        vectors = vectors if vectors.ndim == 3 else vectors[None]
        return -(query_PD[:, None] - vectors[..., :-1]).square().sum(-1)


class TestDistance(ModelTests):
    model = Distance(dim=8)
    least = None


@pytest.mark.parametrize(
    ("loss", "sampler"), [("bce", "nncf"), ("bpr", "popularity"), ("sampled_softmax", "uniform"), ("softmax", None)]
)
def test_trains_with_every_loss(loss: str, sampler: str | None) -> None:
    losses: list[float] = []
    more = {} if sampler is None else {"sampler": sampler}
    fit(
        Distance,
        law_split(),
        loss=loss,
        epochs=8,
        lr=0.05,
        seed=1,
        log=lambda record: losses.extend([record["loss"]] if "loss" in record else []),
        **more,
    )
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("sampler", ["dns", "realhns", "srns", "mixgcf", "augns"])
def test_a_sampler_that_compares_by_the_product_is_refused(sampler: str) -> None:
    with pytest.raises(InputError, match="scores in another way"):
        fit(Distance, law_split(), sampler=sampler, epochs=1)


def test_vectors_are_not_handed_out() -> None:
    with pytest.raises(InputError, match="no product"):
        fit(Distance, law_split(), epochs=1).similar(["toys1"])


def test_logits_of_shared_and_of_own_vectors_agree() -> None:
    generator = torch.Generator().manual_seed(1)
    item_VD = torch.randn(5, 5, generator=generator)
    for model, width in ((BPRMF(dim=4), 5), (Distance(dim=4), 4)):
        query_PD = torch.randn(3, width, generator=generator)
        shared_PV = model.logits(query_PD, item_VD, "toys")
        own_PV = model.logits(query_PD, item_VD.expand(3, 5, 5), "toys")
        assert torch.allclose(shared_PV, own_PV, atol=1e-6)
