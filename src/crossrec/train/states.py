"""What an exact resume needs of every process: its random streams, and what its samplers have learned."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from crossrec.errors import InputError
from crossrec.samplers.base import Sampler
from crossrec.streams import Streams
from crossrec.train import distributed

Tensors = Mapping[str, Tensor]
Samplers = Mapping[str, Sampler | None]
"""By domain; None where nothing is drawn."""


def gather_streams(streams: Streams) -> dict[str, Tensor]:
    """The random streams of every process."""
    return {
        f"{number}.{name}": state
        for name, mine in streams.state().items()
        for number, state in enumerate(distributed.gather(mine))
    }


def gather_samplers(samplers: Samplers) -> dict[str, Tensor]:
    """What the samplers of every process have learned."""
    return {
        f"{number}.{domain}.{name}": state
        for domain, sampler in samplers.items()
        if sampler is not None
        for name, mine in sampler.state().items()
        for number, state in enumerate(distributed.gather(mine.contiguous()))
    }


def load_streams(streams: Streams, saved: Tensors) -> None:
    """Go on with this process's streams."""
    streams.load_state(_below(saved, f"{distributed.rank()}."))


def load_samplers(samplers: Samplers, saved: Tensors) -> None:
    """Go on with what this process's samplers had learned."""
    for domain, sampler in samplers.items():
        if sampler is not None:
            sampler.load_state(_below(saved, f"{distributed.rank()}.{domain}."))


def check_processes(saved: Tensors) -> None:
    """Raise InputError unless there are as many processes as saved these streams."""
    trained_by = len({name.partition(".")[0] for name in saved})
    if trained_by != distributed.world():
        raise InputError(
            f"The checkpoint is of {trained_by} processes and now there are {distributed.world()}: an exact resume needs as "
            "many."
        )


def _below(saved: Tensors, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in saved.items() if name.startswith(prefix)}
