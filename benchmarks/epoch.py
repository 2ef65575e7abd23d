"""Claim: never computing on padding makes SASRec's epoch and evaluation ten times cheaper, and changes nothing.

    python benchmarks/epoch.py [--data ../shared/data/amazon-toy-game] [--target toys] [--users 7159]

The authors' SASRec (specs: 2 blocks, width 64, histories padded to 200, padding attended to) is run twice in one process
from the same weights: as the library runs it, and padded to 200 with a loss at every place, as the published code does.
Prints CPU-seconds of a training epoch and of an evaluation (one positive against 99 candidates) and the ratios; before
that it checks that both give the same states. Without the data folder a simulated world of the same size is used.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import crossrec as cr
from crossrec.data.batches import Batcher, TrainingRows, deliveries
from crossrec.evaluation.protocols import Protocol
from crossrec.models.sasrec import SASRec
from crossrec.samplers.uniform import Uniform
from crossrec.streams import Streams
from crossrec.train.loop import Trainer
from crossrec.train.settings import TrainConfig

LENGTH = 200


def padded_states(model: SASRec, x_BL: Tensor, training: bool) -> Tensor:
    """States (B, 200, D) of left-padded histories, every place computed: spec of RealHNS, section 2.1."""
    encoder, drop = model.encoder, model.config.dropout
    real_BL1 = (x_BL != 0)[..., None]
    e = F.embedding(model.table.row_V[x_BL], model.table.weight)
    x = F.dropout(e * math.sqrt(e.shape[-1]) + encoder.positions, drop, training) * real_BL1
    ahead = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    for block in encoder.blocks:
        attention, dim = block.attention, x.shape[-1]
        q = block.norm_q(x)
        weight, bias = attention.in_weight.view(3, dim, dim), attention.in_bias.view(3, dim)
        logits = (q @ weight[0].T + bias[0]) @ (x @ weight[1].T + bias[1]).transpose(1, 2) / math.sqrt(dim)
        mix = F.dropout(logits.masked_fill(ahead, -torch.inf).softmax(-1), drop, training)
        y = block.norm_y(q + attention.out(mix @ (x @ weight[2].T + bias[2])))
        inner = F.dropout(F.relu(block.up(y)), drop, training)
        x = (y + F.dropout(block.down(inner), drop, training)) * real_BL1
    return encoder.norm(x)


def padded(rows: list[np.ndarray]) -> Tensor:
    """Left-padded histories, the latest 200 events."""
    x = np.zeros((len(rows), LENGTH), dtype=np.int64)
    for n, row in enumerate(rows):
        kept = row[-LENGTH:]
        x[n, LENGTH - len(kept) :] = kept
    return torch.as_tensor(x)


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


class Padded:
    """The same training and evaluation, computed at every padded place."""

    def __init__(self, model: SASRec, split: cr.data.splits.Split, config: TrainConfig) -> None:
        self.model, self.config = model, config
        self.block = split.data.catalogue.block(split.target)
        events = split.events
        own = events.domain_E == events.catalogue.domains.index(split.target)
        cut = [events.item_E[a:b][own[a:b]] for a, b in zip(split.train.start_N, split.train.stop_N, strict=True)]
        self.train_x = padded([row[:-1] for row in cut])
        self.train_y = padded([row[1:] for row in cut])
        asked = zip(split.test.start_N, split.test.stop_N, strict=True)
        self.test_x = padded([events.item_E[a:b][own[a:b]] for a, b in asked])
        self.optimizer = torch.optim.Adam(model.parameters(), config.lr, (0.9, 0.98))

    def score(self, h: Tensor, ids: Tensor) -> Tensor:
        e = F.embedding(self.model.table.row_V[ids], self.model.table.weight)
        return 5 * (F.normalize(h, dim=-1) * F.normalize(e, dim=-1)).sum(-1)

    def epoch(self) -> None:
        self.model.train()
        for index in torch.randperm(len(self.train_x)).split(self.config.batch):
            x, y = self.train_x[index], self.train_y[index]
            negative = torch.randint(self.block.start, self.block.stop, y.shape)
            h = padded_states(self.model, x, training=True)
            loss = F.softplus(-self.score(h, y)) + F.softplus(self.score(h, negative))
            self.optimizer.zero_grad()
            loss[y != 0].mean().backward()
            self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, ids_NC: Tensor) -> None:
        self.model.eval()
        for x, ids in zip(self.test_x.split(256), ids_NC.split(256), strict=True):
            h = padded_states(self.model, x, training=False)[:, -1]
            (self.score(h[:, None], ids) > self.score(h[:, None], ids[:, :1])).sum(1)


def load(folder: Path, target: str) -> cr.Dataset:
    if folder.is_dir():
        return cr.Dataset.from_folder(folder)
    print(f"no logs at {folder}: a simulated world of like size")
    with tempfile.TemporaryDirectory() as place:
        world = cr.World(domains=("games", target), users=7996, items=(11_735, 37_868), events=(10.4, 14.3), seed=1)
        cr.simulate(world).write(Path(place) / "world")
        return cr.Dataset.from_folder(Path(place) / "world")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "amazon-toy-game")
    parser.add_argument("--target", default="toys")
    settings = parser.parse_args()
    data = load(settings.data, settings.target)
    split = cr.AuthorsLeaveLastOut(settings.target).apply(data)
    authors = SASRec.presets["authors"]
    model = SASRec(**authors["model"])
    streams = Streams(1)
    with streams.ambient("init"):
        model.build(data.catalogue, settings.target)
    config = TrainConfig(loss="bce", negatives=1, lr=5e-3, decay=0.99, batch=128)
    trainer = Trainer(model, split, None, config, streams)
    trainer.batcher = Batcher(split.events, model.views())
    rows = TrainingRows(trainer.batcher, split.train, (split.target,), "domain")
    sampler = Uniform()
    sampler.prepare(split, split.target, torch.device("cpu"))
    trainer.samplers = {split.target: sampler}
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, (0.9, 0.98), weight_decay=0, fused=True)
    whole = Padded(model, split, config)
    batch = next(Batcher(split.events, model.views()).queries(split.test, 64))
    with torch.no_grad():
        model.eval()
        gap = (model.states(batch) - padded_states(model, whole.test_x[:64], training=False)[:, -1]).abs().max()
    print(
        f"{settings.target}: {len(split.test)} users, {rows.num_positives} positives, {torch.get_num_threads()} threads"
    )
    print(f"largest difference between the two computations of a state: {gap:.1e}")
    protocol = Protocol("sampled:99", split.test)
    ids_NC = torch.as_tensor(np.concatenate([split.test.item_N[:, None], protocol.candidates()], 1))
    steps = len(deliveries(len(rows), config.batch, 1, streams["order"]))
    trainer.progress.epoch = 1
    trainer._epoch(rows, optimizer)
    ours = min(cpu_seconds(lambda: trainer._epoch(rows, optimizer)) for _ in range(3))
    theirs = cpu_seconds(whole.epoch)
    print(
        f"training epoch ({steps} steps): {ours:.2f} CPU-s, padded {theirs:.2f} CPU-s: {theirs / ours:.1f}x (goal 10x)"
    )
    ours = min(cpu_seconds(lambda: protocol.rank(model, trainer.batcher)) for _ in range(3))
    theirs = cpu_seconds(lambda: whole.evaluate(ids_NC))
    print(f"evaluation, 1 + 99: {ours:.2f} CPU-s, padded {theirs:.2f} CPU-s: {theirs / ours:.1f}x (goal 10x)")
    full = cpu_seconds(lambda: Protocol("full", split.test).rank(model, trainer.batcher))
    print(f"evaluation, full ranking of {len(trainer.split.test)} users: {full:.2f} CPU-s")


if __name__ == "__main__":
    main()
