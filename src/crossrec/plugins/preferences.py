"""What a frozen model thinks of all items of a domain, for many training rows, in blocks of bounded memory.

Shapes: N rows, B of them in a block, S pairs of a row and an item, V items, D width, T items of each of L rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from crossrec.data.batches import Batcher
from crossrec.data.splits import Events
from crossrec.errors import InputError
from crossrec.models.base import Model, still
from crossrec.plugins.predicted import ROWS, Predicted
from crossrec.samplers.base import SeenPairs

BLOCK = 16 * 2**20
"""Bytes that the scores of one block of rows may take; a GPU is fed 16 times as many."""
GATHERED = 2 * 2**20
"""Bytes of items' vectors that are gathered at a time."""

Pairs = tuple[Tensor, Tensor]
"""Rows (S,) and columns (S,) of some items."""


class Preferences:
    """The preference of a row for an item is the frozen model's score, once it knows all of the row."""

    def __init__(self, frozen: Model, events: Events, rows: Predicted, device: torch.device) -> None:
        batcher = Batcher(events, frozen.views(), frozen.device)
        with still(frozen):
            chunks = torch.arange(len(rows), device=rows.user_N.device).split(ROWS)
            query_ND = torch.cat([frozen.queries(rows.known(batcher, row_R)) for row_R in chunks])
            padding_D = frozen.items(torch.zeros(1, dtype=torch.int64, device=frozen.device))[0]
            self.padding_N = (query_ND @ padding_D).to(device)
            """Preference for the padding: a column of its own in a diffusion model, 0 in most others."""
            self.query_ND = query_ND.to(device)
            self.item_VD = frozen.item_block(rows.domain).detach().to(device)

    def of(self, row_L: Tensor, column_LT: Tensor) -> Tensor:
        """Preferences (L, T) of some rows for some items each."""
        size = max(1, GATHERED // (4 * column_LT.shape[1] * self.item_VD.shape[1]))
        found = [
            (self.query_ND[row][:, None] * self.item_VD[column]).sum(-1)
            for row, column in zip(row_L.split(size), column_LT.split(size), strict=True)
        ]
        return torch.cat(found)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Numbers of some rows (B,) and their preferences for all items (B, V), which are overwritten by the next ones."""
        count, width = len(self.query_ND), len(self.item_VD)
        size = max(1, BLOCK * (1 if self.item_VD.device.type == "cpu" else 16) // (4 * width))
        room_BV = self.query_ND.new_empty(min(size, count), width)
        for row_B in torch.arange(count, device=room_BV.device).split(size):
            yield row_B, torch.mm(self.query_ND[row_B], self.item_VD.T, out=room_BV[: len(row_B)])


def usable(frozen: Model, domain: str) -> None:
    """Raise InputError unless a model has vectors and recommends in a domain."""
    if not frozen.product:
        raise InputError(
            f"A plug-in looks into vectors, and the score of {frozen.name} is no product of two. Take tidiffrec or an encoder."
        )
    if domain not in frozen.serves():
        raise InputError(
            f"{frozen.name} was trained to recommend in {', '.join(frozen.serves())}, not in {domain}. Train it for {domain}."
        )


def owned(seen: SeenPairs, user_B: Tensor, block: range) -> Pairs:
    """Every item of the block that these users have, as row and column."""
    bound_B, bound_B1 = (torch.searchsorted(seen.key_S, user * seen.num_ids) for user in (user_B, user_B + 1))
    count_B = bound_B1 - bound_B
    row_S = torch.repeat_interleave(torch.arange(len(user_B), device=user_B.device), count_B)
    first_B = torch.cumsum(count_B, 0) - count_B
    place_S = torch.arange(len(row_S), device=row_S.device) + (bound_B - first_B)[row_S]
    return row_S, seen.key_S[place_S] % seen.num_ids - block.start


@contextmanager
def hidden(score_BV: Tensor, pairs: Pairs) -> Iterator[None]:
    """Within, the scores of these pairs are -inf; after, what they were."""
    kept_S = score_BV[pairs]
    score_BV[pairs] = -torch.inf
    try:
        yield
    finally:
        score_BV[pairs] = kept_S
