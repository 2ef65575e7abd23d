"""Buffers that are as long as what was counted: a module that is loaded takes as much as was saved."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn


class SavedSizes(nn.Module):
    """Base of modules with such buffers, which are empty at first.

    Of a saved one of integers the type is taken as well; one of numbers keeps the module's precision.
    """

    counted: ClassVar[tuple[str, ...]]
    """Names of the buffers."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name in self.counted:
            saved, mine = state_dict.get(prefix + name), getattr(self, name)
            if saved is not None:
                dtype = mine.dtype if mine.is_floating_point() else saved.dtype
                setattr(self, name, torch.empty(saved.shape, dtype=dtype, device=mine.device))
        super()._load_from_state_dict(state_dict, prefix, *others)
