"""A run's query encoder as a graph over padded histories: what is exported for other runtimes.

Shapes: B rows, L places of a padded row, H histories of a row, D width, V items of the domain, S steps on padding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.histories import History
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.models.bprmf import BPRMF
from crossrec.models.dasl import DASL
from crossrec.models.encoder import Encoder
from crossrec.models.twotower import TwoTower
from crossrec.nn.gru import Recurrence
from crossrec.nn.pooling import JointPooling
from crossrec.nn.transformer import Transformer

CAN = "sasrec, gru4rec, cl4srec, twotower, dasl, and bprmf whose row is the session"


class QueryGraph(nn.Module):
    """Padded histories in, query vectors and scores of one domain's items out; every operation can be exported."""

    item_VD: Tensor

    def __init__(self, model: Model, domain: str) -> None:
        """``model``: a trained one, which stays as it is. Raises InputError where it cannot be a graph."""
        super().__init__()
        _check(model)
        self.model = copy.deepcopy(model).cpu().eval()
        self.domain = domain
        with torch.no_grad():
            self.register_buffer("item_VD", self.model.item_block(domain).clone())
            _replace_ragged(self.model)
        views = self.model.views()
        self.max_len = views.max_len
        self.blocks = {name: [self.model.block(read) for read in reads] for name, reads in views.domains.items()}

    def forward(self, item_BL: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor]:
        """Query vectors (B, D) and scores (B, V) of histories.

        ``item_BL``: ids of the events, oldest first from the left, of any domain (what the model does not read is passed
        over); whatever stands behind the first ``length_B`` of a row does not count.
        """
        histories = {name: self._view(item_BL, length_B, blocks) for name, blocks in self.blocks.items()}
        nobody_B = torch.zeros_like(length_B)
        batch = Batch(self.domain, histories, nobody_B - 1, nobody_B)
        query_BD = _means(self.model, batch) if isinstance(self.model, BPRMF) else self.model.queries(batch)
        return query_BD, query_BD @ self.item_VD.T

    def _view(self, item_BL: Tensor, length_B: Tensor, blocks: list[range]) -> History:
        """The latest events of some domains, moved to the left of their rows."""
        place_L = torch.arange(item_BL.shape[1], device=item_BL.device)
        inside_BL = torch.zeros_like(item_BL, dtype=torch.bool)
        for block in blocks:
            inside_BL = inside_BL | ((item_BL >= block.start) & (item_BL < block.stop))
        inside_BL = inside_BL & (place_L < length_B[:, None])
        count_BL = inside_BL.long().cumsum(1)
        dropped_B = (count_BL[:, -1] - self.max_len).clamp(min=0)
        to_BL = (count_BL - dropped_B[:, None]).clamp(min=0) * inside_BL
        left_BL = torch.zeros_like(F.pad(item_BL, (1, 0))).scatter(1, to_BL, item_BL)[:, 1:]
        known_B = count_BL[:, -1] - dropped_B
        row_B = torch.arange(item_BL.shape[0], device=item_BL.device)
        places = item_BL.shape[0] * item_BL.shape[1]
        at_B = torch.where(known_B > 0, row_B * item_BL.shape[1] + known_B - 1, places)
        return History((left_BL,), (known_B,), (row_B,), at_B, places)


class PaddedRecurrence(nn.Module):
    """A recurrence over one padded chunk: steps behind the end of a row are made and not looked at."""

    starts_SD: Tensor

    def __init__(self, made: Recurrence, table: Callable[[Tensor], Tensor]) -> None:
        """``table``: ids to vectors, as in the recurrence."""
        super().__init__()
        self.gru, self.padding, self.max_len = made.gru, made.padding, made.max_len
        self.register_buffer("starts_SD", made._starts(torch.zeros(0, dtype=torch.int64), table).clone())

    def forward(self, history: History, table: Callable[[Tensor], Tensor]) -> Tensor:
        """States h_PD of the queries, as the recurrence gives them."""
        length_B = history.lengths[0]
        steps_B = self.max_len - length_B if self.padding else torch.zeros_like(length_B)
        states = self.gru(table(history.chunks[0]), self.starts_SD[steps_B][None])[0]
        return torch.cat([states.flatten(0, 1), self.starts_SD[-1:]])[history.at_P]


class PaddedPooling(nn.Module):
    """The joint attention at the end of padded rows: one softmax over the places of all histories."""

    def __init__(self, made: JointPooling) -> None:
        super().__init__()
        self.made = made

    def forward(self, states: Mapping[str, tuple[History, Tensor]]) -> dict[str, Tensor]:
        """Pooled states c_PD of every history, as :class:`JointPooling` gives them."""
        logits, vectors = [], []
        for history, h_TD in states.values():
            chunk_BL, length_B = history.chunks[0], history.lengths[0]
            behind_BL = torch.arange(chunk_BL.shape[1], device=chunk_BL.device) >= length_B[:, None]
            logit_BL = self.made.logits(h_TD).reshape(chunk_BL.shape)
            logits.append(logit_BL.masked_fill(behind_BL, torch.finfo(logit_BL.dtype).min))
            vectors.append(h_TD.reshape(*chunk_BL.shape, h_TD.shape[-1]) * ~behind_BL[..., None])
        logit_BHL = torch.stack(logits, 1)
        weight_BHL = logit_BHL.flatten(1).softmax(1).view(logit_BHL.shape)
        return {name: (weight_BHL[:, h, :, None] * vectors[h]).sum(1) for h, name in enumerate(states)}


def _replace_ragged(model: Model) -> None:
    """Put modules over padded rows in the place of those that pack rows of different lengths."""
    if isinstance(model, DASL):
        model.register_module("attention", PaddedPooling(model.attention))
    if not isinstance(model, Encoder):
        return
    parts = {"encoder": (model.encoder, model.table)}
    if model.guarded:
        parts["own_encoder"] = (model.own_encoder, model.own_table)
    for name, (part, table) in parts.items():
        if isinstance(part, Recurrence):
            model.register_module(name, PaddedRecurrence(part, table))


def _means(model: BPRMF, batch: Batch) -> Tensor:
    """Queries of BPR-MF: the mean vector of the items of every padded row, and a one for the bias."""
    history = batch.histories["history"]
    item_BL, length_B = history.chunks[0], history.lengths[0]
    inside_BL = torch.arange(item_BL.shape[1], device=item_BL.device) < length_B[:, None]
    q_BLD = model.items(item_BL)[..., :-1] * inside_BL[..., None]
    return F.pad(q_BLD.sum(1) / length_B.clamp(min=1)[:, None], (0, 1), value=1.0)


def _check(model: Model) -> None:
    can = isinstance(model, TwoTower | DASL) or (isinstance(model, BPRMF) and model.config.row == "session")
    if isinstance(model, Encoder):
        parts = [model.encoder, *([model.own_encoder] if model.guarded else [])]
        can = all(isinstance(part, Transformer | Recurrence) for part in parts)
    if not can:
        raise InputError(
            f"This {model.name} cannot be exported to onnx: its query is made of more than a history that can be padded. "
            f"What can be: {CAN}. Vectors of any model whose score is a product: --to vectors or --to faiss."
        )
