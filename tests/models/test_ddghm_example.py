"""DDGHM on the worked example of its specs, 11.1: B1, A1, B2, A2, B3 of three and four items in two dimensions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.batches import Batch, Batcher
from crossrec.data.splits import Events
from crossrec.data.vocabulary import Catalogue
from crossrec.models.ddghm import DDGHM
from crossrec.nn.journeys import Rows

EXAMPLE = json.loads((Path(__file__).parent / "ddghm_example.json").read_text())
DTYPES = [(torch.float64, 1e-9), (torch.float32, 1e-5)]
IDS = [{"A": 1, "B": 4}[name[0]] + int(name[1]) - 1 for name in EXAMPLE["sequence"]]


def fill(seed: int, *shape: int) -> Tensor:
    """The example's weights."""
    return (0.6 * torch.sin(1.7 * seed + 0.9 * torch.arange(torch.Size(shape).numel()).double() + 0.3)).view(shape)


def example(dtype: torch.dtype, readout: str = "post_gate") -> DDGHM:
    """The model with those weights."""
    model = DDGHM(dim=2, readout=readout, lambda_col=0.0, lambda_con=0.0).build(
        Catalogue({"A": 3, "B": 4}, 1), "A", ["B"]
    )
    graphs, found = model.double().graphs, {}
    for base, cell in ((10, graphs.own(0).cell), (20, graphs.own(1).cell), (30, graphs.merged)):
        into, out = torch.cat([fill(base + seed, 2, 4) for seed in (4, 5, 6)]).chunk(2, 1)
        own = torch.cat([fill(base + seed, 2, 2) for seed in (7, 8)])
        found[cell] = [fill(base, 2, 2), fill(base + 1, 2, 2), fill(base + 2, 2), fill(base + 3, 2)]
        found[cell] += [into, out, own, fill(base + 9, 2, 2)]
    for base, layer in ((40, graphs.own(0).readout), (45, graphs.own(1).readout), (50, graphs.merged_readout)):
        shapes = enumerate(((2, 2), (2, 2), (2,), (2,), (2, 4)), base)
        found[layer] = [fill(seed, *shape) for seed, shape in shapes]
    for base, gate in ((60, graphs.own(0).gate), (70, graphs.own(1).gate)):
        near, own = torch.cat([fill(base + seed, 2, 4) for seed in (5, 6, 7)]).chunk(2, 1)
        keys = torch.cat([fill(base + 2, 2, 2), fill(base + 4, 2, 2)])
        found[gate] = [fill(base, 2, 4), fill(base + 1, 2), keys, fill(base + 3, 2), near, own[:4], own[4:]]
    table = torch.cat([fill(1, 3, 2), fill(2, 4, 2)]), torch.cat([fill(3, 3), fill(4, 4)])[:, None]
    with torch.no_grad():
        model.table.weight[1:] = torch.cat(table, 1)
        for module, values in found.items():
            for parameter, value in zip(module.parameters(), values, strict=True):
                parameter.copy_(value)
    return model.to(dtype).eval()


def asking(model: DDGHM, domain: str, known: list[int]) -> Batch:
    """Queries after so many events, for what comes next or, at the end, for anything."""
    batcher, stop_P = (
        Batcher(Events(model.catalogue, np.array(IDS, dtype=np.int32)), model.views()),
        torch.tensor(known),
    )
    at_P = stop_P if max(known) < len(IDS) else None
    return batcher.batch(domain, torch.tensor([0]), torch.tensor([0]), torch.zeros_like(stop_P), stop_P, at_P)


def agree(found: Tensor, expected: Any, within: float) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), atol=within, rtol=0)


@pytest.mark.parametrize(("dtype", "within"), DTYPES)
def test_states_of_every_graph_after_every_event(dtype: torch.dtype, within: float) -> None:
    model, none = example(dtype), torch.zeros(0, dtype=torch.int64)
    blocks = [model.block("A"), model.block("B")]
    (journey,) = Rows(torch.tensor([IDS]), torch.tensor([5]), none, none).journeys(blocks, 100)
    trace = model.graphs(journey, model.items(torch.tensor([IDS]))[..., :-1], asked=False)
    whole = trace.merged_ND.split([1, 2, 3, 4, 5])
    own = [list(grown.state_ND.split([1, 2, 3][:events])) for grown, events in zip(trace.parts, (2, 3), strict=True)]
    for step, merged in zip(EXAMPLE["steps"], whole, strict=True):
        agree(merged, step["all"], within)
        agree(own["AB".index(step["item"][0])].pop(0), step["own"], within)


@pytest.mark.parametrize("readout", ["post_gate", "literal"])
@pytest.mark.parametrize(("dtype", "within"), DTYPES)
def test_sequence_embeddings_and_scores_of_all_items(dtype: torch.dtype, within: float, readout: str) -> None:
    model = example(dtype, readout)
    for known, step in enumerate(EXAMPLE["steps"]):
        if readout in step:
            batch = asking(model, step["item"][0], [known])
            agree(model.queries(batch)[0, :2], step[readout][0], within)
            agree(model.scores(batch, step["item"][0])[0], step[readout][1], within)
    for domain, final in EXAMPLE["final"].items():
        batch = asking(model, domain, [5])
        agree(model.queries(batch)[0, :2], final[readout][0], within)
        agree(model.scores(batch, domain)[0], final[readout][1], within)


@pytest.mark.parametrize("readout", ["post_gate", "literal"])
def test_the_loss(readout: str) -> None:
    """The second A, and the second and third B, are predicted: the mean of each domain, summed."""
    model = example(torch.float64, readout)
    expected = []
    for known, step in enumerate(EXAMPLE["steps"]):
        if readout in step:
            item = torch.tensor(int(step["item"][1]) - 1)
            expected.append(F.cross_entropy(torch.tensor(step[readout][1], dtype=torch.float64), item))
        else:
            assert known < 2
    second_b, second_a, third_b = expected
    found = model.loss(asking(model, "A", [2, 3, 4]))
    torch.testing.assert_close(found.mean(), second_a + (second_b + third_b) / 2, atol=1e-9, rtol=0)
