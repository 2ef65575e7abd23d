"""CL4SRec: SASRec with a contrast between two random views of every history (Xie et al. 2022).

Source: specs of PDRec, section 2.3, with the values recommended there. R rows, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from crossrec.data.batches import Batch
from crossrec.data.histories import History
from crossrec.data.vocabulary import Catalogue
from crossrec.models.encoder import Encoder
from crossrec.models.sasrec import SASRec, SASRecConfig
from crossrec.nn import augment, losses
from crossrec.nn.items import ItemTable
from crossrec.nn.transformer import Transformer, TransformerConfig

AUTHORS = SASRec.presets["authors"]


@dataclass(frozen=True)
class CL4SRecConfig(SASRecConfig):
    """Settings of CL4SRec: those of SASRec and of the contrast."""

    contrast: float = 0.1
    """Weight of the contrast (specs of PDRec, 2.3)."""
    temperature: float = 0.1
    """Temperature of the contrast's cosine (specs of PDRec, 2.3)."""
    crop: float = 0.6
    """Share of a history that a crop keeps (specs of PDRec, 2.3)."""
    mask: float = 0.3
    """Share of a history that is hidden (specs of PDRec, 2.3)."""
    reorder: float = 0.6
    """Share of a history that is shuffled (specs of PDRec, 2.3)."""


class MaskableTransformer(Transformer):
    """The Transformer with one vector more, for hidden items."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.hidden = nn.Parameter(torch.empty(1, config.dim))
        nn.init.xavier_normal_(self.hidden)

    def masked(self, history: History, table: Callable[[Tensor], Tensor]) -> Tensor:
        """States of a history in which ``augment.MASK`` stands for hidden items."""

        def vectors(ids: Tensor) -> Tensor:
            return torch.where((ids == augment.MASK)[..., None], self.hidden, table(ids.clamp(min=0)))

        return self(history, vectors)  # type: ignore[no-any-return]  # a module's call is Any


class CL4SRec(Encoder):
    """SASRec whose states must also tell two views of one history from the views of all others in the batch."""

    name = "cl4srec"
    Config = CL4SRecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **SASRec.presets,
        "authors": {**AUTHORS, "model": {**AUTHORS["model"], "contrast": 0.003}},
    }
    """Beside the BCE of ``authors`` a contrast of weight .1 costs a tenth of NDCG@10; .003 is best on validation (LOG.md)."""

    def parts(self, catalogue: Catalogue, domains: tuple[str, ...]) -> tuple[ItemTable, nn.Module]:
        return ItemTable(catalogue, domains, self.config.dim), MaskableTransformer(self.config)

    def auxiliary(self, batch: Batch) -> Tensor | None:
        config: CL4SRecConfig = self.config
        view, table, encoder = self.active
        assert isinstance(encoder, MaskableTransformer)
        views, rows = augment.two_views(batch.histories[view], (config.crop, config.mask, config.reorder))
        if not rows:
            return None
        h_RD, other_RD = encoder.masked(views, table).split(rows)
        return config.contrast * losses.nt_xent(h_RD, other_RD, config.temperature)
