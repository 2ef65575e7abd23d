"""Graphs that grow event by event, and the states of all their snapshots laid end to end.

Source: specs of DDGHM, sections 7.3 and 10. b rows, longest first; n nodes, t events; N states, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.nn.gated_graph import Counts, Fused, GatedGraph, Path
from crossrec.nn.walks import Walk


class Step(NamedTuple):
    """What comes into the graphs with an event."""

    new_bnD: Tensor
    """First states of the nodes that are new to the snapshot."""
    slot_bt: Tensor | None
    """Nodes of all events so far; None: the graphs are paths."""
    there_bn: Tensor | None
    """Which nodes of the snapshot are there by now; None: all."""


def steps(walk: Walk, start_bnD: Tensor) -> Iterator[Step]:
    """The events of walks; ``start``: first states of their nodes."""
    device, added = start_bnD.device, torch.tensor([0, *walk.nodes]).diff().tolist()
    slot_bl, born_bn = (walk.slot_bl.to(device), walk.born_bn.to(device)) if walk.repeats else (None, None)
    starts = start_bnD.split(added, 1)
    for time, (rows, nodes, new_bnD) in enumerate(zip(walk.rows, walk.nodes, starts, strict=True), 1):
        if slot_bl is None or born_bn is None:
            yield Step(_first(new_bnD, rows), None, None)
        else:
            yield Step(_first(new_bnD, rows), slot_bl[:rows, :time], born_bn[:rows, :nodes] <= time)


def grown(cell: GatedGraph, fused: Fused, h_bnD: Tensor, step: Step) -> Tensor:
    """Graphs after an event: new nodes and the new edge come in, and all nodes are updated."""
    h_bnD = torch.cat([_first(h_bnD, len(step.new_bnD)), step.new_bnD], 1)
    new_bnD: Tensor
    if step.slot_bt is None or step.there_bn is None:
        new_bnD = cell(h_bnD, Path(), fused)
        return new_bnD
    new_bnD = cell(h_bnD, Counts(step.slot_bt, h_bnD.shape[1], h_bnD.dtype), fused)
    return torch.where(step.there_bn[..., None], new_bnD, h_bnD)


def _first(x_bnD: Tensor, rows: int) -> Tensor:
    """The first rows; what is whole already stays itself, for a slice costs a copy of its gradient."""
    return x_bnD if len(x_bnD) == rows else x_bnD[:rows]


def laid(states: Sequence[Tensor]) -> Tensor:
    """Snapshots laid end to end: (N, D)."""
    return torch.cat([state_bnD.flatten(0, 1) for state_bnD in states])


def states_at(state_ND: Tensor, place: Tensor) -> Tensor:
    """The states at these places, (..., D); ``state`` may have more dimensions, all but the last in one."""
    return F.embedding(place.to(state_ND.device), state_ND.flatten(0, -2))


def gathered(state_ND: Tensor, places: Sequence[Tensor]) -> list[Tensor]:
    """The states at several lists of places, by one gather."""
    flat_ND = states_at(state_ND, torch.cat([place.flatten() for place in places]))
    parts = flat_ND.split([place.numel() for place in places])
    return [part.view(*place.shape, -1) for part, place in zip(parts, places, strict=True)]


def sent(arrays: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Arrays of one type on a device, in one transfer."""
    if not arrays:
        return []
    flat = torch.cat([array.flatten() for array in arrays]).to(device)
    parts = flat.split([array.numel() for array in arrays])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]
