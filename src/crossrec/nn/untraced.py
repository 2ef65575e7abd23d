"""What ``torch.compile`` is to leave alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from torch._compile import _disable_dynamo

Function = TypeVar("Function", bound=Callable[..., object])


def untraced(function: Function) -> Function:
    """The function as it is, which ``torch.compile`` runs rather than traces.

    ``torch.compiler.disable`` does the same, and loads the compiler with it: more than a second in every command. This is
    torch's own way not to load it before the function is called.
    """
    return cast(Function, _disable_dynamo(function))
