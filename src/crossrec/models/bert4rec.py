"""BERT4Rec: a Transformer that looks both ways and guesses hidden events; the next one is hidden behind the last (Sun 2019).

Source: specs of DDGHM, section 4.3. P queries, N hidden events, D width; b rows and l places of a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.histories import History
from crossrec.data.vocabulary import Catalogue
from crossrec.errors import InputError
from crossrec.models.base import Phase
from crossrec.models.every_domain import TableModel
from crossrec.nn.cloze import Cloze, Guesser, draw, last_hidden, questions, scattered
from crossrec.nn.full_softmax import full_softmax
from crossrec.nn.items import ItemTable
from crossrec.nn.untraced import untraced

PAPER: Mapping[str, Any] = {
    "loss": "own",
    "batch": 256,
    "lr": 1e-4,
    "betas": (0.9, 0.999),
    "weight_decay": 0.01,
    "clip": 5.0,
    "epochs": 10_000,
    "eval_every": 1,
    "patience": 200,
}
"""Published optimiser, with the patience that a study of its replications found it to need, and so without the decay of the
learning rate to 0 (specs of DDGHM, 4.3). The weight decay is of all weights, biases included."""


@dataclass(frozen=True)
class BERT4RecConfig:
    """Settings of BERT4Rec."""

    dim: int = 64
    """Width of states and item vectors (published code: 64)."""
    blocks: int = 2
    """Transformer layers (published code)."""
    heads: int = 2
    """Attention heads (published code)."""
    dropout: float = 0.2
    """Dropout on the input, the attention weights and both parts of a layer (published code, ML-1M)."""
    max_len: int = 50
    """Latest events that are looked at, the hidden next one among them (published code, Beauty)."""
    mask_prob: float = 0.2
    """Share of a row's events that are hidden, at least one (specs: .2, .4 or .6; published code, Beauty: .6)."""
    last_only: float = 0.1
    """How often, in an epoch, a row comes a second time with its last event hidden alone (published code)."""
    domains: Literal["target", "merged"] = "target"
    """History: the target domain's events alone, or those of target and sources merged in time order, each of which is then
    guessed among its own domain's items (ours)."""


class BERT4Rec(TableModel):
    """A Transformer over whole rows in which events are hidden; it learns to say which they were, by a full softmax.

    In every epoch each row comes with new random events hidden, and some come again with the last one hidden alone, which is
    what is asked when it is served. Every hidden event is the hidden vector: none stays, none is
    another's. A query is the latest events that it knows and one hidden event behind them, looked at both ways by itself:
    queries of one row share nothing. Score [o, 1] · [e_v, b_v].

    Of longer rows the latest ``max_len`` events are trained (ours, as of every model; published: windows over all).
    """

    name = "bert4rec"
    Config = BERT4RecConfig
    own_loss = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"train": {"loss": "own", "batch": 64, "epochs": 500, "eval_every": 5, "patience": 12}},
        "paper": {"model": {"dim": 256, "heads": 4, "mask_prob": 0.6}, "train": PAPER},
    }

    def __init__(self, config: Any = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        made: BERT4RecConfig = self.config
        if made.dim % made.heads:
            raise InputError(f"dim ({made.dim}) must be a multiple of heads ({made.heads}).")

    def make(self, catalogue: Catalogue) -> None:
        config: BERT4RecConfig = self.config
        self.table = ItemTable(catalogue, self.reads, config.dim + 1)
        self.guesser = Guesser(
            config.dim, blocks=config.blocks, heads=config.heads, dropout=config.dropout, max_len=config.max_len
        )
        draw(self.table.weight)
        self.table.clear(bias=True)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("train", self.target, also=self.reads[1:], whole=True),)

    def queries(self, batch: Batch) -> Tensor:
        """[o, 1] of the event hidden behind what each query knows: (P, D + 1)."""
        asked, session_P = questions(batch.histories["history"], self.config.max_len)
        guess_ND = torch.cat([self._guess(question.cloze) for question in asked])
        number_N = torch.cat([question.number_b for question in asked])
        return guess_ND[number_N.argsort()[session_P]]

    @untraced
    def loss(self, batch: Batch) -> Tensor:
        """The mean cross entropy of all hidden events of the batch's rows, at every query: (P,).

        Never traced: chunks differ from batch to batch.
        """
        made = self._hidden(batch.histories["history"])
        guess_ND, item_N = torch.cat([self._guess(one) for one in made]), torch.cat([one.answers for one in made])
        total = guess_ND.new_zeros(())
        for name in self.reads:
            block = self.block(name)
            chosen_C = ((item_N >= block.start) & (item_N < block.stop)).nonzero()[:, 0]
            if len(chosen_C):
                place_C = item_N[chosen_C] - block.start
                total = total + full_softmax(guess_ND[chosen_C], self.item_block(name), place_C).sum()
        return (total / len(item_N)).expand(len(batch))

    def _hidden(self, history: History) -> list[Cloze]:
        """The rows with random events hidden, and some of them again with the last one hidden alone."""
        made = []
        for item_bl, length_b in zip(history.chunks, history.lengths, strict=True):
            made.append(scattered(item_bl, length_b, self.config.mask_prob))
            again_b = torch.rand(length_b.shape, device=length_b.device) < self.config.last_only
            if bool(again_b.any()):
                made.append(last_hidden(item_bl[again_b], length_b[again_b]))
        return made

    def _guess(self, cloze: Cloze) -> Tensor:
        """[o, 1] of every hidden event: (N, D + 1)."""
        guess_ND = self.guesser(cloze, self.items(cloze.item_bl)[..., :-1])
        return F.pad(guess_ND, (0, 1), value=1.0)
