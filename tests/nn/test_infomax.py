"""The critic of two views, against a loop; and versions of a history that are run as one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from crossrec.data.histories import History
from crossrec.nn.infomax import Infomax, corrupted, joined, row_of


def history() -> History:
    """Rows 7 8 1 | 2 9 | 5 in two chunks, and a query that knows nothing."""
    chunks = torch.tensor([[5]]), torch.tensor([[2, 9, 0], [7, 8, 1]])
    lengths = torch.tensor([1]), torch.tensor([2, 3])
    return History(chunks, lengths, (torch.tensor([0]), torch.tensor([2, 1])), torch.tensor([5, 7, 2, 0, 6]), 7)


def test_the_critic_by_a_loop() -> None:
    """Rows 3 and 5 have both; row 1 has no other places, row 2 no view."""
    torch.manual_seed(0)
    critic = Infomax(2).double()
    view_CD, true_OD, false_OD = (torch.randn(n, 2, dtype=torch.float64) for n in (5, 4, 4))
    row_C, row_O = [3, 1, 5, 3, 1], [2, 5, 3, 5]
    terms = {"true": 0.0, "false": 0.0}
    for row in (3, 5):
        view = mean([view_CD[c] for c in range(5) if row_C[c] == row])
        for name, h_OD in (("true", true_OD), ("false", false_OD)):
            other = mean([h_OD[o] for o in range(4) if row_O[o] == row])
            logit = float((other @ critic.critic.weight[0] @ view + critic.critic.bias).detach())
            terms[name] += math.log1p(math.exp(-logit if name == "true" else logit)) / 2
    found = critic(view_CD, torch.tensor(row_C), true_OD, false_OD, torch.tensor(row_O))
    assert float(found.detach()) == pytest.approx(sum(terms.values()))


def mean(vectors: list[Tensor]) -> Tensor:
    return torch.stack(vectors).mean(0)


def test_without_a_row_of_both_there_is_nothing_to_tell() -> None:
    h_1D = torch.ones(1, 2)
    assert float(Infomax(2)(h_1D, torch.tensor([0]), h_1D, h_1D, torch.tensor([1]))) == 0.0


def test_the_critic_learns_to_tell() -> None:
    torch.manual_seed(0)
    critic, row = Infomax(2), torch.arange(50)
    view = torch.randn(50, 2)
    optimizer = torch.optim.Adam(critic.parameters(), 0.1)
    for _ in range(50):
        loss = critic(view, row, view, -view, row)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5 < 2 * math.log(2)


def test_one_domain_alone_is_exchanged() -> None:
    torch.manual_seed(0)
    before = history()
    found = [corrupted(before, range(5, 10)) for _ in range(30)]
    for each in found:
        for one, other in zip(before.chunks, each.chunks, strict=True):
            kept = (one < 5) | (one >= 10)
            assert torch.equal(one[kept], other[kept])
            assert bool(((other[~kept] >= 5) & (other[~kept] < 10)).all())
    assert {int(each.chunks[0][0, 0]) for each in found} == set(range(5, 10))


def test_versions_run_as_one_have_the_states_of_each() -> None:
    first = history()
    other = History(tuple(10 * chunk for chunk in first.chunks), first.lengths, first.rows, first.at_P, first.total)
    both = joined([first, other])
    states = torch.cat([*(chunk.flatten() for chunk in both.chunks), torch.tensor([-1])])
    expected = torch.cat([*(chunk.flatten() for chunk in first.chunks), torch.tensor([-1])])[first.at_P]
    assert states[both.at_P].tolist() == [*expected.tolist(), *(10 * expected).clamp(min=-1).tolist()]
    assert both.total == 14
    assert [len(length) for length in both.lengths] == [1, 2, 1, 2]


def test_the_row_of_every_query() -> None:
    assert row_of(history()).tolist() == [2, -1, 1, 0, 2]
    empty = History((), (), (), torch.tensor([0, 0]), 0)
    assert row_of(empty).tolist() == [-1, -1]
