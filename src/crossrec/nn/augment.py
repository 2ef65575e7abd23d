"""Random views of histories for contrastive learning: crop, mask, reorder; whole chunks at once.

Source: specs of PDRec, section 2.3; of DDGHM, section 4.4. b rows and l places of a chunk, left-aligned; randomness is
torch's ambient generator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.data.histories import History

MASK = -1
"""Stands for an item that is hidden."""


def crop(ids_bl: Tensor, length_b: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """A stretch of ``share`` of every row (at least one event) from a random start: ids and lengths."""
    kept_b = (share * length_b).long().clamp(min=1)
    start_b = _start(length_b, kept_b)
    place_l = torch.arange(ids_bl.shape[1], device=ids_bl.device)
    moved_bl = ids_bl.gather(1, (start_b[:, None] + place_l).clamp(max=ids_bl.shape[1] - 1))
    return torch.where(place_l < kept_b[:, None], moved_bl, 0), kept_b


def mask(ids_bl: Tensor, length_b: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Every row with ``share`` of its events, at random places, replaced by ``MASK``."""
    place_l = torch.arange(ids_bl.shape[1], device=ids_bl.device)
    key_bl = torch.rand(ids_bl.shape, device=ids_bl.device).masked_fill(place_l >= length_b[:, None], 2.0)
    rank_bl = key_bl.argsort(1).argsort(1)
    return torch.where(rank_bl < (share * length_b).long()[:, None], MASK, ids_bl), length_b


def reorder(ids_bl: Tensor, length_b: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Every row with a stretch of ``share`` of its events, from a random start, in random order."""
    moved_b = (share * length_b).long()
    start_b = _start(length_b, moved_b)[:, None]
    place_l = torch.arange(ids_bl.shape[1], device=ids_bl.device)
    inside_bl = (place_l >= start_b) & (place_l < start_b + moved_b[:, None])
    drawn_bl = start_b + torch.rand(ids_bl.shape, device=ids_bl.device) * (moved_b[:, None] - 1)
    order_bl = torch.where(inside_bl, drawn_bl, place_l).argsort(dim=1, stable=True)
    return ids_bl.gather(1, order_bl), length_b


def _start(length_b: Tensor, kept_b: Tensor) -> Tensor:
    """A random first place of a stretch of ``kept`` within each row."""
    drawn_b = torch.rand(length_b.shape, device=length_b.device) * (length_b - kept_b + 1)
    return torch.minimum(drawn_b.long(), length_b - kept_b)


def two_views(history: History, shares: tuple[float, float, float]) -> tuple[History, int]:
    """Two views of every row by two different operators, drawn per row; ``shares`` of crop, mask and reorder.

    Returns a history of 2R rows, the first views of all R rows and then the second ones, that asks for the state after
    each row's last event; and R.
    """
    first = [torch.randint(3, length.shape, device=length.device) for length in history.lengths]
    second = [(one + 1 + torch.randint(2, one.shape, device=one.device)) % 3 for one in first]
    chunks, lengths, ends, total = [], [], [], 0
    for chosen in (first, second):
        for ids_bl, length_b, one_b in zip(history.chunks, history.lengths, chosen, strict=True):
            view_bl, kept_b = _apply(ids_bl, length_b, one_b, shares)
            chunks.append(view_bl)
            lengths.append(kept_b)
            row_b = torch.arange(len(kept_b), device=kept_b.device)
            ends.append(total + row_b * view_bl.shape[1] + kept_b - 1)
            total += view_bl.numel()
    count = sum(len(length) for length in history.lengths)
    at = torch.cat(ends) if ends else history.at_P.new_zeros(0)
    return History(tuple(chunks), tuple(lengths), history.rows * 2, at, total), count


def _apply(
    ids_bl: Tensor, length_b: Tensor, chosen_b: Tensor, shares: tuple[float, float, float]
) -> tuple[Tensor, Tensor]:
    """Every row through the operator chosen for it: 0 crop, 1 mask, 2 reorder."""
    made = [operator(ids_bl, length_b, share) for operator, share in zip((crop, mask, reorder), shares, strict=True)]
    at = chosen_b[None, :]
    kept_b = torch.stack([length for _, length in made]).gather(0, at)[0]
    ids = torch.stack([view for view, _ in made]).gather(0, at[..., None].expand(1, *ids_bl.shape))[0]
    return ids, kept_b
