"""Ids and queries by their domains."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.nn.by_domain import asked, by_domain, numbers

BLOCKS = [range(5, 8), range(1, 5)]


def test_numbers_are_places_among_the_blocks() -> None:
    ids = torch.tensor([[0, 1, 4], [5, 7, 8]])
    assert numbers(ids, BLOCKS).tolist() == [[-1, 1, 1], [0, 0, -1]]


def test_a_query_asks_for_the_domain_of_its_positive_else_of_the_batch() -> None:
    batch = Batch("toys", {}, torch.zeros(4, dtype=torch.int64), torch.tensor([5, 2, 0, 7]))
    assert asked(batch, ["games", "toys"], BLOCKS).tolist() == [0, 1, 1, 0]


def test_what_domains_make_stands_where_it_was_asked() -> None:
    def make(x: int, chosen_C: Tensor) -> Tensor:
        return torch.stack([chosen_C * 10 + x, chosen_C], 1)

    found = by_domain(torch.tensor([2, 0, -1, 1, 0, 2]), make)
    assert found.tolist() == [[2, 0], [10, 1], [20, 2], [31, 3], [40, 4], [52, 5]]
    assert by_domain(torch.tensor([1, 1]), make).tolist() == [[1, 0], [11, 1]]
    assert by_domain(torch.tensor([], dtype=torch.int64), make).shape == (0, 2)
