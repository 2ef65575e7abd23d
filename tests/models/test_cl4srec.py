"""CL4SRec."""

from __future__ import annotations

import torch

from crossrec.data.batches import Batcher, TrainingRows
from crossrec.models.cl4srec import CL4SRec
from crossrec.models.sasrec import SASRec
from crossrec.nn import augment
from crossrec.testing import ModelTests
from crossrec.testing.law import law_split
from crossrec.train.fit import fit


class TestCL4SRec(ModelTests):
    model = CL4SRec(dim=8, max_len=20)


class TestMerged(ModelTests):
    model = CL4SRec(dim=8, max_len=20, domains="merged")


def built(**settings: object) -> tuple[CL4SRec, TrainingRows]:
    split = law_split()
    torch.manual_seed(0)
    model = CL4SRec(dim=8, max_len=20, **settings).build(split.data.catalogue, "toys")
    return model, TrainingRows(Batcher(split.events, model.views()), split.train, ["toys"])


def test_the_contrast_is_weighted() -> None:
    model, rows = built(dropout=0.0, contrast=0.1)
    batch = rows.batch(torch.arange(30))
    found = []
    for weight in (0.1, 0.4):
        torch.manual_seed(1)
        model.config = CL4SRec(dim=8, max_len=20, dropout=0.0, contrast=weight).config
        found.append(model.auxiliary(batch))
    assert found[0] > 0
    torch.testing.assert_close(4 * found[0], found[1])


def test_equal_views_of_one_row_cost_nothing() -> None:
    model, rows = built(dropout=0.0, crop=1.0, mask=0.0, reorder=0.0)
    torch.testing.assert_close(model.auxiliary(rows.batch(torch.tensor([3]))), torch.tensor(0.0))


def test_hidden_items_have_a_vector_that_learns() -> None:
    model, rows = built(crop=1.0, mask=1.0, reorder=0.0)
    model.auxiliary(rows.batch(torch.arange(30))).backward()
    assert model.encoder.hidden.grad.abs().sum() > 0


def test_the_contrast_draws_from_the_ambient_generator_alone() -> None:
    _, rows = built()
    batch = rows.batch(torch.arange(30))
    torch.manual_seed(2)
    first = augment.two_views(batch.histories["history"], (0.6, 0.3, 0.6))[0]
    torch.manual_seed(2)
    again = augment.two_views(batch.histories["history"], (0.6, 0.3, 0.6))[0]
    assert all(torch.equal(a, b) for a, b in zip(first.chunks, again.chunks, strict=True))


def test_without_contrast_it_is_sasrec() -> None:
    """The same states from the same weights; the contrast is a matter of training."""
    split = law_split()
    ours = fit(CL4SRec(dim=8, max_len=20), split, epochs=2, negatives=8)
    plain = SASRec(dim=8, max_len=20).build(split.data.catalogue, "toys").eval()
    plain.load_state_dict({k: v for k, v in ours.model.state_dict().items() if k != "encoder.hidden"})
    rows = TrainingRows(Batcher(split.events, plain.views()), split.train, ["toys"])
    batch = rows.batch(torch.arange(len(rows)))
    with torch.no_grad():
        assert torch.equal(plain.queries(batch), ours.model.queries(batch))
