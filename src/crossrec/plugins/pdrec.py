"""PDRec: what a frozen diffusion recommender prefers changes weights, positives and negatives of a training.

Source: PDRec, section 4; specs of PDRec, section 4. Shapes: N training rows, S positives in them, P queries, M candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch, TrainingRows
from crossrec.data.splits import Split
from crossrec.data.splits.leave_last_out import AuthorsLeaveLastOut
from crossrec.data.splits.parts import everything
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.plugins import low_preference, reweighting
from crossrec.plugins.base import Plugin, SoftPositives
from crossrec.plugins.low_preference import LowPreference, Window
from crossrec.plugins.predicted import Predicted
from crossrec.plugins.preferences import Preferences, owned, usable
from crossrec.plugins.soft_positives import candidates
from crossrec.samplers.base import SeenPairs
from crossrec.samplers.uniform import Uniform


@dataclass(frozen=True)
class PDRecConfig:
    """Settings of PDRec; the constants are the paper's for Amazon Toy. Every part can be switched off by itself."""

    model: str = "tidiffrec"
    """Model to train and look into, where no trained one is given (PDRec, section 4.1)."""
    weight: Literal["preference", "mean", "none"] = "preference"
    """Historical behaviour reweighting: a weight for every positive by its preference and rank; ``mean`` gives all of them
    the mean of these weights, which is the control (specs, 12.4); ``none`` switches it off."""
    rank_weight: float = 0.1
    """omega_r: share of the rank in a weight, against that of the preference (PDRec, settings: .1; Book .3)."""
    truncate: float = 3.0
    """c_w: greatest weight before it is rescaled (PDRec, settings: Toy and Book 3, Game and Music 5)."""
    rescale: float = 2.0
    """omega_f: factor on every weight, about the mean weight (PDRec, settings: Toy and Music 2, Game and Book 4)."""
    floor: Literal["pad", "min"] = "pad"
    """What a preference is counted from: half or one and a half times the row's least, that for the padding included
    (published code), or the least itself (PDRec, equation 1)."""
    soft: bool = True
    """Diffusion-based positive augmentation: soft positives among the items of the highest preference."""
    pool: Literal["unobserved", "all"] = "unobserved"
    """Which these may be: items that the user does not have in training (PDRec, section 4.3), or any (published code)."""
    coarse: int = 50
    """m: items of the highest preference that are candidates (PDRec, settings: Amazon 50, Douban 100)."""
    fine: int = 5
    """n: of these, the ones that the trained model scores highest are soft positives (PDRec, settings: Amazon 5, Douban 1)."""
    distill: float = 0.3
    """omega_d: weight of the soft positives' loss (PDRec, settings: Amazon .3, Douban .01)."""
    low: bool = True
    """Noise-free negative sampling: one more negative for every positive, from the items of low preference."""
    low_from: float = 0.5
    """omega_m: share of the ranking at which these begin (PDRec, settings: Amazon .5, Douban .8)."""
    low_to: float = 1.0
    """Share of the ranking at which they end (PDRec, equation 3: 1; published code .99)."""
    exclude: Literal["train", "all"] = "train"
    """What is never such a negative: the user's training items (ours), or all that the user has in the data, held-out items
    included (published code; a leak, so only under the split ``authors``)."""


class PDRec(Plugin):
    """A frozen model, by default a diffusion recommender, tells what each training row prefers among all items.

    Positives that it prefers weigh more (HBR), some of what it ranks first become soft positives (DPA), and what it ranks
    low becomes negatives (NNS). All is found once, before a phase; the trained model and how it serves stay as they are.
    A row's preferences come from all of the row, so an early positive is weighed by what was known later: never of use when
    serving, and never beyond the training row.
    """

    name = "pdrec"
    Config = PDRecConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {},
        "authors": {
            "truncate": 1.0,
            "rescale": 4.0,
            "pool": "all",
            "distill": 0.05,
            "low_from": 0.9,
            "low_to": 0.99,
            "exclude": "all",
        },
    }
    rows: Predicted
    weight_S: Tensor | None
    candidate_NM: Tensor | None
    """Global ids; 0 where a row has no more candidates."""
    low: LowPreference | None
    known: dict[str, float]

    def __init__(self, config: Any = None, **settings: Any) -> None:
        """Raises InputError for settings that make no sense, before anything is trained."""
        super().__init__(config, **settings)
        least = {"rank_weight": 0.0, "truncate": 0.0, "rescale": 0.0, "coarse": 1, "fine": 1, "distill": 0.0}
        for key, value in least.items():
            if getattr(self.config, key) < value:
                raise InputError(f"PDRecConfig.{key} must be at least {value:g}, not {getattr(self.config, key):g}.")
        if self.config.rank_weight > 1:
            raise InputError(f"PDRecConfig.rank_weight is a share, at most 1, not {self.config.rank_weight:g}.")
        if not 0 <= self.config.low_from < self.config.low_to <= 1:
            raise InputError(
                f"Low preferences go from a smaller to a greater share of the ranking, within 0 and 1, not from "
                f"{self.config.low_from:g} to {self.config.low_to:g}: set low_from and low_to."
            )

    @property
    def model(self) -> str:
        """The diffusion recommender, unless another model is named."""
        return str(self.config.model)

    def check(self, split: Split) -> None:
        """Raise InputError for ``exclude="all"`` on a split that does not leak."""
        if self.config.low and self.config.exclude == "all" and split.spec.get("split") != AuthorsLeaveLastOut.name:
            raise InputError(
                "exclude='all' tells training which items are held out: it is for the split 'authors' alone. Here set "
                "exclude='train'."
            )

    def prepare(self, split: Split, rows: TrainingRows, domain: str, frozen: Model) -> None:
        """Find weights, candidates and what low preferences are.

        Raises InputError for a model without vectors or for another domain, for a phase that predicts no next item, and
        for ``exclude="all"`` on a split that does not leak.
        """
        if rows.whole:
            raise InputError(
                "pdrec weighs next items, and this phase predicts none: the model has an objective of its own."
            )
        self.check(split)
        usable(frozen, domain)
        self.batcher, self.block = rows.batcher, split.data.catalogue.block(domain)
        self.rows = Predicted.of(split, rows, domain)
        self.weight_S, self.candidate_NM, self.low, self.known = None, None, None, {}
        if not len(self.rows):
            return
        preferences = Preferences(frozen, split.events, self.rows, self.batcher.device)
        if self.config.weight != "none":
            self.weight_S = self._weigh(preferences)
        if self.config.soft or self.config.low:
            self._rank(preferences, split)

    def weights(self, batch: Batch) -> Tensor | None:
        """What every positive weighs."""
        if self.weight_S is None:
            return None
        assert batch.at_P is not None, "a phase that predicts next items"
        return self.weight_S[self.rows.place_of(batch.at_P)]

    def negatives(self, batch: Batch, generator: torch.Generator) -> Tensor | None:
        """An item of low preference for every query, drawn anew each time: (P, 1)."""
        if self.low is None:
            return None
        assert batch.at_P is not None, "a phase that predicts next items"
        return self.low.draw(self.rows.row_of(batch.at_P), batch.user_P, generator)

    def positives(self, batch: Batch) -> SoftPositives | None:
        """The candidates of every row that is in the batch, and a query that knows all of the row."""
        if self.candidate_NM is None:
            return None
        assert batch.at_P is not None, "a phase that predicts next items"
        row_R = torch.unique(self.rows.row_of(batch.at_P))
        ids_RM = self.candidate_NM[row_R].long()
        known = self.rows.known(self.batcher, row_R)
        return SoftPositives(known, ids_RM, ids_RM > 0, self.config.fine, self.config.distill)

    def facts(self) -> dict[str, float]:
        """``weight``: mean weight of a positive; ``clipped``: share of the weights that were; ``own``: share of the
        candidates that the user has in training, where any may be one.
        """
        return dict(self.known)

    def _weigh(self, preferences: Preferences) -> Tensor:
        """Weights of the positives."""
        config, rows = self.config, self.rows
        item_S = self.batcher.item_E[rows.at_S].long()
        preference_S = preferences.of(rows.row_S, item_S[:, None] - self.block.start)[:, 0]
        padded_N = torch.bincount(rows.row_S, minlength=len(rows)) < self.batcher.max_len
        padded_N &= config.floor == "pad"
        floor_N = reweighting.floors(preference_S, rows.row_S, preferences.padding_N, padded_N)
        constants = {name: getattr(config, name) for name in ("rank_weight", "truncate", "rescale")}
        weight_S, clipped_S = reweighting.weights(preference_S, rows.row_S, floor_N, **constants)
        self.known |= {"weight": float(weight_S.mean())}
        if config.weight == "mean":
            return weight_S.mean().expand(len(weight_S))
        self.known |= {"clipped": float(clipped_S.float().mean())}
        return weight_S

    def _rank(self, preferences: Preferences, split: Split) -> None:
        """What is high and what is low in every row's ranking, a block of rows at a time."""
        config, device = self.config, self.batcher.device
        uniform = Uniform()
        uniform.prepare(split, self.rows.domain, device)
        train = uniform.seen
        if config.exclude == "all":
            whole = everything(split.data, np.arange(split.data.num_users))
            uniform.seen = SeenPairs(split.events, whole, self.rows.domain, device)
        window = Window(config.low_from, config.low_to, whole=config.exclude == "all")
        found, windows = [], low_preference.kept(preferences)
        for row_B, score_BV in preferences.blocks():
            user_B = self.rows.user_N[row_B]
            if config.soft:
                own = owned(train, user_B, self.block) if config.pool == "unobserved" else None
                column_BM = candidates(score_BV, own, config.coarse)
                found.append(torch.where(column_BM < 0, 0, column_BM + self.block.start).to(torch.int32))
            if config.low:
                windows.add(row_B, score_BV, window.bounds(score_BV, owned(uniform.seen, user_B, self.block)))
        if config.soft:
            self.candidate_NM = candidate_NM = torch.cat(found)
            if config.pool == "all":
                own_NM = train.contains(self.rows.user_N, candidate_NM)
                self.known |= {"own": float(own_NM.float().mean())}
        if config.low:
            tries = math.ceil(1 / (config.low_to - config.low_from))
            self.low = LowPreference(windows, uniform, tries)
