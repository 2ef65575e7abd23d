"""Several processes under ``torchrun``: who we are, and the few things that must be said between us."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor

from crossrec.errors import InputError


def start() -> None:
    """Join the group that ``torchrun`` announces in the environment; nothing where there is none."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")


def device(asked: str) -> torch.device:
    """The device of this process: under ``torchrun`` a bare ``cuda`` is the GPU of its local number.

    Raises InputError for one that does not exist or is not here.
    """
    try:
        chosen = torch.device(asked)
        if chosen.type == "cuda" and chosen.index is None and "LOCAL_RANK" in os.environ:
            chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        found = f"cpu, and {torch.cuda.device_count()} CUDA devices"
        raise InputError(f"The device {asked!r} cannot be used here. Found: {found}.") from error
    return chosen


def device_name(device: torch.device) -> str:
    """``cpu``, or ``cuda`` and the GPU's own name after a comma."""
    return f"cuda, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type


def rank() -> int:
    """Number of this process, 0 alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    """Number of processes, 1 alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total(value: Tensor) -> Tensor:
    """Sum of a tensor over all processes."""
    if world() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def sum_gradients(module: torch.nn.Module) -> None:
    """Sum the gradients over all processes in one message; a parameter without one here counts as zero."""
    if world() == 1:
        return
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    own = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
    flat = torch.cat([gradient.flatten() for gradient in own])
    dist.all_reduce(flat)
    for parameter, summed in zip(learning, flat.split([p.numel() for p in learning]), strict=True):
        parameter.grad = summed.view_as(parameter)  # not into the old one: that is a buffer with this process's rows


def gather(state: Tensor) -> list[Tensor]:
    """The tensor of every process (all of one shape), in the order of their numbers."""
    if world() == 1:
        return [state]
    everyone = [torch.empty_like(state) for _ in range(world())]
    dist.all_gather(everyone, state)
    return everyone


def wait() -> None:
    """Until every process is here."""
    if world() > 1:
        dist.barrier()
