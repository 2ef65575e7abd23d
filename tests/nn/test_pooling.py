"""One softmax over all that a query knows in several histories."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from crossrec.data.histories import History
from crossrec.nn.pooling import JointPooling, running_sums

States = dict[str, tuple[History, Tensor]]


class Chosen(JointPooling):
    """Takes the first number of a state for its logit."""

    def logits(self, h_TD: Tensor) -> Tensor:
        return h_TD[:, 0]


def history(shapes: list[tuple[int, int]], known: list[tuple[int, int]]) -> History:
    """Chunks of these shapes; query p knows the first ``known[p][1]`` places of row ``known[p][0]``."""
    chunks = tuple(torch.ones(shape, dtype=torch.int64) for shape in shapes)
    lengths = tuple(torch.full(shape[:1], shape[1]) for shape in shapes)
    rows = torch.arange(sum(b for b, _ in shapes)).split([b for b, _ in shapes])
    total = sum(chunk.numel() for chunk in chunks)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat(lengths).cumsum(0)])
    at_P = torch.tensor([int(starts[row]) + count - 1 if count else total for row, count in known])
    return History(chunks, lengths, rows, at_P, total)


def written_out(layer: JointPooling, states: States, known: dict[str, list[tuple[int, int]]]) -> dict[str, Tensor]:
    """The formula, query by query, in double precision."""
    pooled: dict[str, list[Tensor]] = {name: [] for name in states}
    for p in range(len(next(iter(known.values())))):
        parts = {}
        for name, (one, h_TD) in states.items():
            count = known[name][p][1]
            first = int(one.at_P[p]) + 1 - count
            parts[name] = h_TD[first : first + count].double()
        logit = torch.cat([layer.logits(h.to(torch.get_default_dtype())) for h in parts.values()]).double()
        weights = logit.softmax(0).split([len(h) for h in parts.values()])
        for (name, h), weight in zip(parts.items(), weights, strict=True):
            pooled[name].append(weight @ h)
    return {name: torch.stack(rows) for name, rows in pooled.items()}


def ragged(scale: float) -> tuple[States, dict[str, list[tuple[int, int]]]]:
    """Five rows in three histories: some queries know nothing of some, the last one knows nothing at all."""
    torch.manual_seed(0)
    shapes = {"s": [(2, 3), (2, 9)], "r": [(1, 1), (3, 4)], "t": [(3, 2), (2, 70)]}
    known = {
        "s": [(0, 2), (2, 9), (1, 0), (3, 1), (3, 7), (0, 3), (0, 0)],
        "r": [(0, 1), (1, 3), (2, 4), (3, 1), (3, 4), (0, 0), (0, 0)],
        "t": [(0, 1), (3, 70), (1, 2), (4, 1), (4, 33), (2, 0), (0, 0)],
    }
    states = {}
    for name, shape in shapes.items():
        one = history(shape, known[name])
        states[name] = (one, (scale * torch.randn(one.total, 4)).requires_grad_())
    return states, known


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_running_sums_are_the_softmax(scale: float) -> None:
    """Also where a later logit is so much larger that the earlier ones are nothing beside it."""
    states, known = ragged(scale)
    found, expected = Chosen(4)(states), written_out(Chosen(4), states, known)
    for name in states:
        torch.testing.assert_close(found[name], expected[name].float(), rtol=1e-4, atol=1e-6 * scale)
    if scale > 30:
        return
    weight = {name: torch.randn_like(c_PD) for name, c_PD in found.items()}
    tensors = [h_TD for _, h_TD in states.values()]
    slopes = [
        torch.autograd.grad(torch.stack([(c[name] * weight[name]).sum() for name in weight]).sum(), tensors)
        for c in (found, expected)
    ]
    for mine, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_logits_of_the_additive_attention() -> None:
    """W = (1 2), b = 0.5, w = 3, h = (0.25, -0.5): 3 tanh(-0.25)."""
    layer = JointPooling(2)
    with torch.no_grad():
        layer.inner.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
        layer.inner.bias.copy_(torch.tensor([0.5, 0.0]))
        layer.outer.weight.copy_(torch.tensor([[3.0, 7.0]]))
        assert layer.logits(torch.tensor([[0.25, -0.5]])).item() == pytest.approx(3 * math.tanh(-0.25))


def test_weights_sum_to_one_over_all_histories() -> None:
    """Logits 0 and ln 2 in one history, ln 3 in the other: weights 1/6, 2/6 and 3/6; 1/4 and 3/4 before the second."""
    t, s = history([(1, 2)], [(0, 1), (0, 2)]), history([(1, 1)], [(0, 1), (0, 1)])
    h_t = torch.tensor([[0.0, 12.0], [math.log(2), 6.0]])
    h_s = torch.tensor([[math.log(3), 2.0]])
    found = Chosen(2)({"s": (s, h_s), "t": (t, h_t)})
    assert found["t"][:, 1].tolist() == pytest.approx([12 / 4, 12 / 6 + 6 * 2 / 6])
    assert found["s"][:, 1].tolist() == pytest.approx([2 * 3 / 4, 2 * 3 / 6])


def test_an_early_query_is_not_drowned_by_later_logits() -> None:
    """Logits that rise by 500 at a place: each prefix is its own last state, though exp(-500) is 0."""
    logit = 500 * torch.arange(6.0)[None] - 3000
    h = torch.randn(1, 6, 3)
    _, sums = running_sums(logit, h)
    torch.testing.assert_close(sums[..., :-1] / sums[..., -1:], h)


def test_what_comes_later_changes_no_bit() -> None:
    states, _ = ragged(1.0)
    one, h_TD = states["t"]
    changed = h_TD.detach().clone()
    changed[6 + 70 + 33 :] = 1e4  # of the last row, of which no query knows more than 33 places
    after = Chosen(4)({**states, "t": (one, changed)})
    for name, c_PD in Chosen(4)(states).items():
        assert torch.equal(after[name], c_PD)


def test_nothing_known_is_zero() -> None:
    nowhere = History((), (), (), torch.tensor([0, 0]), 0)
    known = history([(1, 2)], [(0, 0), (0, 2)])
    h_TD = torch.full((2, 4), -50.0, requires_grad=True)
    found = JointPooling(4)({"s": (nowhere, torch.zeros(0, 4)), "t": (known, h_TD)})
    assert not found["s"].any()
    assert not found["t"][0].any()
    torch.testing.assert_close(found["t"][1], h_TD[0].detach())
    found["t"].sum().backward()
    assert h_TD.grad is not None
    assert torch.isfinite(h_TD.grad).all()
