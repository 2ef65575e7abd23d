"""Claim: an epoch with PDRec costs less than 1.5 times one of the plain encoder, and preparing it next to nothing beside that.

    python benchmarks/plugin.py [--data ../shared/data/amazon-toy-game] [--target toys]

SASRec as PDRec publishes it (bce, one negative, every batch delivered once) in one process: CPU-seconds of an epoch without a
plug-in, and with the three parts of PDRec, each alone and together, beside an untrained TI-DiffRec of the published width
(what it costs does not depend on what it has learned). Then preparing: CPU-seconds, the share of the bare product of all
rows with all items, which is the least that an exact ranking takes, and peak memory; and the milliseconds of a draw of
low preferences. Without the data folder a simulated world of the same size is used.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from epoch import load

import crossrec as cr
from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.models.sasrec import SASRec
from crossrec.models.tidiffrec import TIDiffRec
from crossrec.plugins.pdrec import PDRec
from crossrec.samplers.uniform import Uniform
from crossrec.streams import Streams
from crossrec.train.loop import Trainer
from crossrec.train.settings import TrainConfig

PARTS = {
    "weights": {"soft": False, "low": False},
    "low preferences": {"weight": "none", "soft": False},
    "soft positives": {"weight": "none", "low": False},
    "all": {},
    "all, low_from=0.9": {"low_from": 0.9},
}
ROUNDS = 5
BLOCK = 128


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def peak() -> int:
    """Peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def built(model: Any, split: cr.data.splits.Split) -> Any:
    with Streams(1).ambient("init"):
        return model.build(split.data.catalogue, split.target)


class Epochs:
    """The training of the encoder, an epoch at a time, with or without a plug-in."""

    def __init__(self, split: cr.data.splits.Split) -> None:
        authors = SASRec.presets["authors"]
        self.config = TrainConfig(**{**authors["train"], "copies": 1})
        self.model = built(SASRec(**authors["model"]), split)
        self.trainer = Trainer(self.model, split, None, self.config, Streams(1))
        self.trainer.batcher = Batcher(split.events, self.model.views())
        self.rows = TrainingRows(self.trainer.batcher, split.train, (split.target,), self.config.first)
        sampler = Uniform()
        sampler.prepare(split, split.target, torch.device("cpu"))
        self.trainer.samplers = {split.target: sampler}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), self.config.lr, weight_decay=0, fused=True)

    def run(self, plugin: PDRec | None) -> float:
        """CPU-seconds of an epoch."""
        self.trainer.plugins = {} if plugin is None else {self.model.target: plugin}
        return cpu_seconds(lambda: self.trainer._epoch(self.rows, self.optimizer))


def prepared(split: cr.data.splits.Split, rows: TrainingRows, source: TIDiffRec, **settings: Any) -> PDRec:
    plugin = PDRec(**settings)
    plugin.prepare(split, rows, split.target, source)
    return plugin


def preparing(split: cr.data.splits.Split, rows: TrainingRows, source: TIDiffRec) -> None:
    """What it takes to prepare, and to draw."""
    item_VD = source.item_block(split.target).detach()
    query_BD = torch.randn(BLOCK, item_VD.shape[1])
    room_BV = torch.empty(BLOCK, len(item_VD))
    torch.mm(query_BD, item_VD.T, out=room_BV)
    product = cpu_seconds(lambda: [torch.mm(query_BD, item_VD.T, out=room_BV) for _ in range(len(rows) // BLOCK)])
    before, spent = peak(), cpu_seconds(lambda: prepared(split, rows, source))
    extra = peak() - before
    print(f"preparing for {len(rows):,} rows and {len(item_VD):,} items of width {item_VD.shape[1]}:")
    print(
        f"  {spent:.1f} CPU-s, of which the product {product:.1f}; peak memory beside the models {extra / 2**20:.0f} MiB"
    )
    generator = torch.Generator().manual_seed(1)
    batches = [rows.batch(index) for index in torch.randperm(len(rows), generator=generator).split(BLOCK)]
    queries = statistics.mean(map(len, batches))
    for low_from in (0.5, 0.9):
        plugin = prepared(split, rows, source, low_from=low_from, soft=False)
        spent = statistics.median(drawing(plugin, batch, generator) for batch in batches)
        print(f"  a draw for {queries:.0f} queries at low_from={low_from}: {1000 * spent:.1f} ms")


def drawing(plugin: PDRec, batch: Batch, generator: torch.Generator) -> float:
    return cpu_seconds(lambda: plugin.negatives(batch, generator))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "amazon-toy-game")
    parser.add_argument("--target", default="toys")
    settings = parser.parse_args()
    split = cr.LeaveLastOut(settings.target).apply(load(settings.data, settings.target))
    epochs, source = Epochs(split), built(TIDiffRec(), split).eval()
    plugins: dict[str, PDRec | None] = {"no plug-in": None}
    plugins |= {name: prepared(split, epochs.rows, source, **off) for name, off in PARTS.items()}
    spent: dict[str, list[float]] = {name: [] for name in plugins}
    epochs.run(None)  # warm
    for _ in range(ROUNDS):  # in turns: the machine may be busy at times
        for name, plugin in plugins.items():
            spent[name].append(epochs.run(plugin))
    plain = min(spent["no plug-in"])
    print(f"{settings.target}: CPU-seconds of an epoch of sasrec, {torch.get_num_threads()} threads")
    for name, seconds in spent.items():
        print(f"  {name}: {min(seconds):.2f}, {min(seconds) / plain:.2f} times")
    preparing(split, epochs.rows, source)


if __name__ == "__main__":
    main()
