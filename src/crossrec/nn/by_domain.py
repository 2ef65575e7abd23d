"""Which domain ids and queries are of, and vectors that every domain makes in its own way. N ids, P queries, C of one domain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from crossrec.data.batches import Batch


def numbers(ids: Tensor, blocks: Sequence[range]) -> Tensor:
    """Number of the block that holds each id, shaped as the ids; -1 where none does."""
    number = torch.full_like(ids, -1)
    for x, block in enumerate(blocks):
        number = number.masked_fill((ids >= block.start) & (ids < block.stop), x)
    return number


def asked(batch: Batch, domains: Sequence[str], blocks: Sequence[range]) -> Tensor:
    """Number of the domain that every query asks for: that of its positive, else the batch's, (P,)."""
    number_P = numbers(batch.positive_P, blocks)
    return number_P.masked_fill(number_P < 0, domains.index(batch.domain))


def by_domain(number_N: Tensor, make: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Vectors (N, D): ``make(x, chosen_C)`` gives those of the places that domain x has, (C, D). Number -1 is taken as 0."""
    number_N = number_N.clamp(min=0)
    found: list[int] = number_N.unique().tolist()
    if len(found) < 2:
        return make(found[0] if found else 0, torch.arange(len(number_N), device=number_N.device))
    chosen = [(number_N == x).nonzero()[:, 0] for x in found]
    parts = [make(x, chosen_C) for x, chosen_C in zip(found, chosen, strict=True)]
    return torch.cat(parts)[torch.cat(chosen).argsort()]
