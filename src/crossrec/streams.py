"""Named random streams: one seed, and a generator for each purpose; the global generators are left as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

NAMES = ("init", "order", "negatives", "model", "evaluation")
"""Parameters' first values; order of the rows; negatives; dropout and augmentation; negatives of an evaluation."""


def derive(seed: int, name: str) -> int:
    """The seed of a stream: 63 bits of a hash of the run's seed and the stream's name."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1


class Streams:
    """The random streams of one run. ``order``, ``init`` live on the CPU, the others where the model trains."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed, self.device = seed, torch.device(device)
        self._generators: dict[str, torch.Generator] = {}
        for name in NAMES:
            place = "cpu" if name in ("init", "order") else self.device
            self._generators[name] = torch.Generator(place).manual_seed(derive(seed, name))

    def __getitem__(self, name: str) -> torch.Generator:
        return self._generators[name]

    @contextmanager
    def ambient(self, name: str) -> Iterator[None]:
        """Within, torch's global generator of the stream's device is this stream; after, it is what it was.

        Dropout and parameter initialisation in torch draw from nowhere else.
        """
        stream = self._generators[name]
        if stream.device.type == "cuda":
            saved = torch.cuda.get_rng_state(stream.device)
            torch.cuda.set_rng_state(stream.get_state(), stream.device)
            try:
                yield
            finally:
                stream.set_state(torch.cuda.get_rng_state(stream.device))
                torch.cuda.set_rng_state(saved, stream.device)
            return
        saved = torch.get_rng_state()
        torch.set_rng_state(stream.get_state())
        try:
            yield
        finally:
            stream.set_state(torch.get_rng_state())
            torch.set_rng_state(saved)

    def state(self) -> dict[str, Tensor]:
        """The state of every stream, for a checkpoint."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        for name, generator in self._generators.items():
            generator.set_state(state[name].cpu())
