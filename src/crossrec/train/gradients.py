"""Gradients of item tables: a step touches a few rows, so only those are cleared and filled."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TableGradients:
    """Turns the sparse gradients of item tables into dense ones, in buffers that are kept from step to step.

    Autograd makes a fresh dense gradient of the whole table at every lookup; here the lookups of a step are added into
    one buffer, of which only the rows touched by the step before are cleared first. The sums are the same.
    """

    def __init__(self) -> None:
        self._buffers: dict[nn.Parameter, Tensor] = {}
        self._touched: dict[nn.Parameter, Tensor] = {}

    def collect(self, module: nn.Module) -> None:
        """Give every parameter that has a sparse gradient the dense one of the same value."""
        for parameter in module.parameters():
            gradient = parameter.grad
            if gradient is None or gradient.layout != torch.sparse_coo:
                continue
            rows, values = gradient._indices()[0], gradient._values()
            if parameter in self._buffers:
                buffer = self._buffers[parameter]
                buffer.index_fill_(0, self._touched[parameter], 0)
            else:
                buffer = self._buffers[parameter] = torch.zeros_like(parameter)
            buffer.index_add_(0, rows, values.to(buffer.dtype))
            self._touched[parameter] = rows
            parameter.grad = buffer
