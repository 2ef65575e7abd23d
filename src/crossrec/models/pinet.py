"""π-Net: a recurrent network per domain, and between them filters for accounts that people share (Ma et al. 2019).

Source: specs of DDGHM, section 6.1. D width; C queries of one domain, N events of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from crossrec.models.unit_per_domain import PAPER, TRAINING, UnitPerDomain
from crossrec.nn.shared_account import SharedAccountFilter
from crossrec.nn.timelines import Timeline, latest


@dataclass(frozen=True)
class PiNetConfig:
    """Settings of π-Net."""

    dim: int = 64
    """Width of states and item vectors (ours; published code: 100)."""
    members: int = 4
    """People who may share an account (published code: 4; 1 for accounts that nobody shares)."""
    dropout: float = 0.2
    """Dropout on input, output and state of every cell and before the output layer (published code)."""
    max_len: int = 50
    """Latest events of all domains that are looked at (ours)."""


class PiNet(UnitPerDomain):
    """A gated recurrent unit per domain, and per ordered pair of domains a filter and a second unit that reads it.

    At each event of a source the filter decides, member by member, what to pass on, given the state of the other domain that
    is known by then; a second unit turns that stream into a transfer state, which is what a query gets of that source. Score,
    training and any number of domains: see :class:`~crossrec.models.unit_per_domain.UnitPerDomain`.
    """

    name = "pinet"
    Config = PiNetConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {"train": TRAINING}, "paper": PAPER}

    def transfer(self) -> SharedAccountFilter:
        config: PiNetConfig = self.config
        return SharedAccountFilter(config.dim, config.members, config.dropout)

    def passed(
        self,
        transfer: SharedAccountFilter,
        h_ND: Tensor,
        g_ND: Tensor,
        line: Timeline,
        chosen_C: Tensor,
        own_CD: Tensor,
    ) -> Tensor:
        """The transfer state after the latest event that a query knows of the source: equations 6.2 to 6.5."""
        t_ND = transfer(h_ND, g_ND, line.sizes)
        return latest(t_ND, line.last_P[chosen_C])
