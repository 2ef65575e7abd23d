"""DASL's dual attention between the encoders of several domains (Li et al. 2021), as it was adapted to stand beside RealHNS.

Source: specs of RealHNS, section 2.5. P queries, D width. The rows of this system that RealHNS publishes are **not exactly
reproducible**: how it was adapted is not said, and DASL's own code is another model (see :class:`DASL`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossrec.data.batches import Batch
from crossrec.data.vocabulary import Catalogue
from crossrec.models.towers import Towers, TowersConfig
from crossrec.nn.pooling import JointPooling


@dataclass(frozen=True)
class DASLConfig(TowersConfig):
    """Settings of the towers and of their training one by one."""


class DASL(Towers):
    """Fuses what one attention over the states of all domains pools of each domain's.

    A query attends to every state that it knows, of the target's tower and of all sources' together: weights
    a = softmax(w^T tanh(W h + b)) that sum to 1 over all domains. The part of every domain, c = sum of a_j h_j, is fused
    in place of its tower's last state. With ``residual`` the last state of the target's tower is added to what comes
    out (ours): weights that do not depend on who asks make little of the latest event.

    Kept of DASL: an encoder per domain, additive attention over the states of all domains at once, each domain pooled by
    its own part of the weights. Not kept: gated recurrent units and windows of ten events (Transformers over whole
    histories stand in), the second reading of every history with the user's vector of the other domain, the target item
    inside the last perceptron (a query must be a vector), biases of users and items, plain gradient descent, and the
    dual embedding: an orthogonal map between vectors of users. A query here is made of states alone and serves
    strangers, so vectors of users would be aligned with each other and read by nobody.
    """

    name = "dasl"
    Config = DASLConfig

    def make(self, catalogue: Catalogue) -> None:
        super().make(catalogue)
        self.attention = JointPooling(self.config.dim)

    def domain_states(self, batch: Batch) -> dict[str, Tensor]:
        """What the attention pools of every domain, c_PD, 0 where a query knows nothing of it.

        With ``residual`` states are twice as wide: behind what is pooled stands the last state of the domain's tower.
        """
        states = {}
        for name in self.place:
            history, tower = batch.histories[name], self.tower(name)
            states[name] = (history, tower.encoder.places(history, tower.table))
        pooled: dict[str, Tensor] = self.attention(states)
        if not self.config.residual:
            return pooled
        last = {name: self.tower(name).encoder.last(*states[name]) for name in self.place}
        return {name: torch.cat([pooled[name], last[name]], -1) for name in self.place}

    def fused(self, states: Mapping[str, Tensor]) -> Tensor:
        dim = self.config.dim
        return self._fuse({name: state[:, :dim] for name, state in states.items()}, states[self.target][:, dim:])
