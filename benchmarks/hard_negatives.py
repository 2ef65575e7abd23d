"""Claim: RealHNS costs less than 1.6 times uniform negatives per epoch; its coarse selection streams at 10^5 x 10^5.

    python benchmarks/hard_negatives.py [--data ../shared/data/amazon-toy-game] [--target toys] [--large 100000]

Two encoders as published (20 negatives, width 64), untrained, in one process: CPU-seconds of an epoch with uniform
negatives, and with RealHNS in the epochs 1 to 5 (no hard negative yet), 6 to 21 (general) and from 22 on (cross-domain as
well), coarse selection, clusters and selection passes included; and the mean over the first 31 epochs, the fewest that the
published recipe trains; exact, and with a sample of 10^4 items ranked. Then the coarse selection of 1,000 items from the band
of 20 to 30 per cent for ``--large`` users and items: seconds, the share of the bare matrix product's rate, peak memory
beside the result; exact, and by a sample of 10^4 items with its recall. Without the data folder a simulated world of the
same size is used.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
from epoch import load

import crossrec as cr
from crossrec.data.batches import Batcher, TrainingRows
from crossrec.models.twotower import TwoTower
from crossrec.samplers import bands
from crossrec.samplers.table import make
from crossrec.streams import Streams
from crossrec.train.loop import Trainer
from crossrec.train.settings import TrainConfig

DIM, SEEN, POOL = 64, 14, 1000
BAND = bands.Band(20, 30)


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def epochs(split: cr.data.splits.Split, sampler: str, numbers: tuple[int, ...], **settings: int) -> list[float]:
    """CPU-seconds of the epochs of these numbers."""
    streams = Streams(1)
    model = TwoTower(**TwoTower.presets["authors"]["model"])
    with streams.ambient("init"):
        model.build(split.data.catalogue, split.target, [name for name in split.data.domains if name != split.target])
    config = TrainConfig(**TwoTower.presets["authors"]["train"])
    trainer = Trainer(model, split, None, config, streams)
    model.begin(model.phases()[-1])
    trainer.config, trainer.batcher = config, Batcher(split.events, model.views())
    rows = TrainingRows(trainer.batcher, split.train, (split.target,), config.first)
    drawing = make(sampler, **settings)
    drawing.prepare(split, split.target, torch.device("cpu"))
    trainer.samplers = {split.target: drawing}
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, weight_decay=0, fused=True)
    trainer._epoch(rows, optimizer)  # warm
    measured = []
    for number in numbers:
        trainer.progress.epoch = number
        measured.append(cpu_seconds(lambda: trainer._epoch(rows, optimizer)))
    return measured


def peak() -> int:
    """Peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def large(size: int) -> None:
    """The coarse selection of ``size`` users from ``size`` items."""
    generator = torch.Generator().manual_seed(1)
    query_RD = torch.randn((size, DIM), generator=generator)
    item_VD = torch.nn.functional.normalize(torch.randn((size, DIM), generator=generator), dim=1)
    item_S = torch.randint(size, (size, SEEN), generator=generator).flatten()
    seen = bands.SeenRows(item_S, torch.arange(size + 1) * SEEN)
    block = max(1, bands.BLOCK // (4 * size))
    room = torch.empty(block, size)

    def product() -> None:
        for a in range(0, size // 10, block):
            torch.mm(query_RD[a : a + block], item_VD.T, out=room[: len(query_RD[a : a + block])])

    bare = 10 * cpu_seconds(product)
    result = size * POOL * 4
    before = peak()
    exact = cpu_seconds(lambda: bands.select(query_RD, item_VD, BAND, seen, POOL, generator))
    extra = max(0, peak() - before - result)
    print(f"coarse selection, {size:,} users x {size:,} items, {torch.get_num_threads()} threads:")
    print(f"  exact: {exact:.0f} CPU-s, {bare / exact:.2f} of the product's rate ({bare:.0f} CPU-s)")
    print(f"  peak memory beside the result ({result / 2**20:.0f} MiB): {extra / 2**20:.0f} MiB")
    found: list[torch.Tensor] = []
    sampled = cpu_seconds(lambda: found.append(bands.select(query_RD, item_VD, BAND, seen, POOL, generator, 10_000)))
    some = torch.arange(64)
    recall = bands.recall(query_RD[some], item_VD, BAND, seen.take(some), found[0][some].long())
    print(f"  by a sample of 10,000 items: {sampled:.0f} CPU-s, recall {recall:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "amazon-toy-game")
    parser.add_argument("--target", default="toys")
    parser.add_argument("--large", type=int, default=100_000)
    settings = parser.parse_args()
    large(settings.large)
    split = cr.LeaveLastOut(settings.target).apply(load(settings.data, settings.target))
    uniform = sum(epochs(split, "uniform", (1, 2, 3))) / 3
    print(f"{settings.target}: CPU-seconds of an epoch with uniform negatives {uniform:.2f}")
    for name, sample in (("realhns", 0), ("realhns, sample=10000", 10_000)):
        _, none, general, cross = epochs(split, "realhns", (19, 5, 20, 30), sample=sample)
        mean = (5 * none + 16 * general + 10 * cross) / 31
        for when, value in (("epochs 1-5", none), ("6-21", general), ("from 22", cross), ("mean of 1-31", mean)):
            print(f"  {name}, {when}: {value:.2f}, {value / uniform:.2f} times")


if __name__ == "__main__":
    main()
