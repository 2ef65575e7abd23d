"""SR-GNN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Events, LeaveLastOut
from crossrec.data.vocabulary import Catalogue
from crossrec.models.base import Model
from crossrec.models.srgnn import SRGNN
from crossrec.testing import ModelTests
from crossrec.testing.batches import close_under_autocast, training_batch
from crossrec.testing.law import law_split
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

Asked = Callable[[Model, Dataset], Batch]


class TestSRGNN(ModelTests):
    model = SRGNN(dim=8, max_len=20)


class TestMerged(ModelTests):
    model = SRGNN(dim=8, max_len=20, steps=2, domains="merged")


def fill(seed: int, *shape: int) -> Tensor:
    """Weights of the worked example of the specs of DDGHM, 11.1."""
    return (0.6 * torch.sin(1.7 * seed + 0.9 * torch.arange(torch.Size(shape).numel()).double() + 0.3)).view(shape)


def example(domain: str, steps: int) -> SRGNN:
    """The model whose graphs are that domain's local ones there."""
    table, cell, read = {"A": (1, 10, 40), "B": (2, 20, 45)}[domain]
    size = {"A": 3, "B": 4}[domain]
    model = SRGNN(dim=2, steps=steps).build(Catalogue({domain: size}, 1), domain).double().eval()
    into, out = torch.cat([fill(cell + seed, 2, 4) for seed in (4, 5, 6)]).chunk(2, 1)
    own = torch.cat([fill(cell + seed, 2, 2) for seed in (7, 8)])
    cells = [fill(cell, 2, 2), fill(cell + 1, 2, 2), fill(cell + 2, 2), fill(cell + 3, 2), into, out, own]
    shapes = enumerate(((2, 2), (2, 2), (2,), (2,), (2, 4)), read)
    with torch.no_grad():
        model.table.weight[1:] = fill(table, size, 2)
        values = [*cells, fill(cell + 9, 2, 2)], [fill(seed, *shape) for seed, shape in shapes]
        for module, given in zip((model.graphs.cell, model.graphs.readout), values, strict=True):
            for parameter, value in zip(module.parameters(), given, strict=True):
                parameter.copy_(value)
    return model


EXAMPLES = {
    "11.1, A after one event": (
        "A",
        1,
        [0],
        [0.3736710071, -0.3181714131],
        [0.1581934729, 0.0537080649, -0.1825986426],
    ),
    "11.1, B after one event": (
        "B",
        1,
        [0],
        [0.2862242198, -0.3260216770],
        [0.1033877228, -0.1439641778, -0.0379697973, 0.1612178128],
    ),
    "11.3": (
        "B",
        1,
        [0, 1, 2, 0, 3],
        [0.1766976026, -0.1981886469],
        [0.0619904997, -0.0886596080, -0.0217032024, 0.0985216342],
    ),
    "11.3, two steps": (
        "B",
        2,
        [0, 1, 2, 0, 3],
        [0.2332569812, -0.2257222848],
        [0.0604261350, -0.1145279756, -0.0083841431, 0.1183377653],
    ),
    "11.2 counts": (
        "A",
        1,
        [0, 1, 0, 1, 0, 2],
        [0.4435433252, -0.4707089585],
        [0.1744176010, 0.1195724110, -0.2287518055],
    ),
}
"""The first two are the published example's first states, read as there; the others are its equations on other walks."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_examples(name: str) -> None:
    domain, steps, items, vector, scores = EXAMPLES[name]
    model = example(domain, steps)
    row = np.array(items, dtype=np.int32) + model.block(domain).start
    zero, end = torch.tensor([0]), torch.tensor([len(row)])
    batch = Batcher(Events(model.catalogue, row), model.views()).batch(domain, zero, zero, zero, end, None)
    expected = torch.tensor(vector, dtype=torch.float64), torch.tensor(scores, dtype=torch.float64)
    torch.testing.assert_close(model.queries(batch)[0], expected[0], atol=1e-9, rtol=0)
    torch.testing.assert_close(model.scores(batch, domain)[0], expected[1], atol=1e-9, rtol=0)


def test_where_nothing_is_known_all_items_are_equal(ask_all: Asked) -> None:
    data = world_of([[], [("toys", 1, 0)]], {"toys": 4})
    with torch.no_grad():
        score_UV = (model := SRGNN(dim=4).build(data.catalogue, "toys")).scores(ask_all(model, data), "toys")
    assert not score_UV[0].any()
    assert score_UV[1].unique().numel() == 4


@pytest.mark.parametrize("steps", [1, 2])
def test_twenty_users_are_learned_by_heart(steps: int) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=20, sizes={"toys": 40}))
    losses: list[float] = []
    log = lambda record: losses.append(record["loss"])  # noqa: E731 - one line
    fit(SRGNN(dim=32, steps=steps), split, epochs=60, lr=1e-2, batch=20, first_eval=60, log=log)
    assert losses[-1] < 0.1 < 3.0 < losses[0]


def test_the_published_learning_rate_falls_to_a_tenth_in_three_epochs_of_the_same_sum() -> None:
    train = SRGNN.presets["paper"]["train"]
    rates = [train["lr"] * train["decay"] ** epoch for epoch in range(6)]
    assert (sum(rates[:3]), sum(rates[3:])) == pytest.approx((3e-3, 3e-4))


def test_first_values_and_the_norm() -> None:
    """Uniform in -1/sqrt(D) to 1/sqrt(D), padding 0; the gradient of the norm is Adam's weight decay."""
    torch.manual_seed(0)
    model = SRGNN(dim=16, l2=1e-2).build(tiny_world().catalogue, "toys")
    assert not model.table.weight[0].any()
    for parameter in (model.table.weight[1:], *model.graphs.parameters()):
        assert float(parameter.detach().abs().max()) <= 0.25
        assert float(parameter.detach().std()) == pytest.approx(0.25 / 3**0.5, rel=0.35)
    norm = model.auxiliary(None)
    norm.backward()
    for parameter in model.parameters():
        torch.testing.assert_close(parameter.grad, 1e-2 * parameter)
    assert SRGNN(dim=16).build(tiny_world().catalogue, "toys").auxiliary(None) is None


def test_autocast_is_close_to_single_precision() -> None:
    split = law_split()
    torch.manual_seed(0)
    model = SRGNN(dim=8).build(split.data.catalogue, "toys")
    batch = training_batch(model, split, rows=range(10))
    close_under_autocast(lambda: model.queries(batch), rtol=0.1, atol=0.05)
