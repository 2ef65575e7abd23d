"""PSJNet-II: domains' states split by role, and all parts joined into what another domain learns of them (Sun et al. 2021).

Source: specs of DDGHM, section 6.2. D width, M roles; C queries of one domain, N events of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from crossrec.models.unit_per_domain import PAPER, TRAINING, UnitPerDomain
from crossrec.nn.shared_account import SplitAndJoin
from crossrec.nn.timelines import Timeline


@dataclass(frozen=True)
class PSJNetConfig:
    """Settings of PSJNet-II."""

    dim: int = 64
    """Width of states and item vectors (ours; published code of π-Net: 100)."""
    roles: int = 4
    """Roles that a state is split into (specs of DDGHM, 6.2: 4, as members of π-Net)."""
    dropout: float = 0.2
    """Dropout on input, output and state of the recurrent units and before the output layer (published code of π-Net)."""
    max_len: int = 50
    """Latest events of all domains that are looked at (ours)."""


class PSJNet(UnitPerDomain):
    """PSJNet-II (reconstruction): a gated recurrent unit per domain; what a domain learns of another is split and then joined.

    A reconstruction. It rests on the paper's abstract, which says that states are split by role at each time step and that the
    parts of all time steps and all roles are then joined, and on π-Net, which is the paper's first variant and whose units,
    gates and output layer are taken over. The attention that joins is ours.

    Each event's state is split into parts by role, gated by the other domain's state that is known by then. A query joins the
    parts of all events that it knows by an attention that its own domain's latest state asks. Score, training and any number
    of domains: see :class:`~crossrec.models.unit_per_domain.UnitPerDomain`.
    """

    name = "psjnet"
    Config = PSJNetConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {"train": TRAINING}, "paper": PAPER}

    def transfer(self) -> SplitAndJoin:
        config: PSJNetConfig = self.config
        return SplitAndJoin(config.dim, config.roles)

    def passed(
        self, transfer: SplitAndJoin, h_ND: Tensor, g_ND: Tensor, line: Timeline, chosen_C: Tensor, own_CD: Tensor
    ) -> Tensor:
        """The parts of all events that a query knows, joined: equations 6.7 and 6.8."""
        p_NMD = transfer.split(h_ND, g_ND)
        return transfer.join(p_NMD, own_CD, *line.prefixes(chosen_C))
