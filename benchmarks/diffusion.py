"""Claim: TI-DiffRec is asked at a twentieth of the published cost and trained in half the memory, and gives the same scores.

    python benchmarks/diffusion.py [--data ../shared/data/amazon-toy-game] [--target games] [--users 400] [--steps 3]

The published network has a column for every item of both domains, and runs the reverse chain over all of them at every
step. It is written out here and given our weights (zeros where we have no column); the scores are compared first. Then,
in one process: CPU-seconds of asking for all items of the target, per 1,000 users (goal: 20 times less; what we compute
once per state of the weights is shared out among all users); CPU-seconds of a training step and peak memory of training
(weights, optimiser and a step; goal: under half), ours in single precision and under autocast. An epoch is its steps.
Without the data folder a simulated world of the same size is used.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from epoch import load
from torch import Tensor, nn

import crossrec as cr
from crossrec.data.batches import Batcher, TrainingRows
from crossrec.data.vocabulary import Catalogue
from crossrec.models.tdiffrec import Known, TDiffRec
from crossrec.streams import Streams
from crossrec.train.loop import Trainer
from crossrec.train.settings import TrainConfig

SETTINGS = {key: value for key, value in TDiffRec.presets["authors"]["train"].items() if key != "copies"}


class Dense(nn.Module):
    """The published network: a column for padding and for every item of all domains."""

    def __init__(self, model: TDiffRec, catalogue: Catalogue) -> None:
        super().__init__()
        config, columns = model.config, catalogue.num_ids
        self.place_D = torch.cat([torch.zeros(1, dtype=torch.int64), torch.tensor(model.block(model.target))])
        self.embed = nn.Linear(config.time_dim, config.time_dim)
        self.inward = nn.Linear(columns + config.time_dim, config.hidden)
        self.outward = nn.Linear(config.hidden, columns)
        self.wave_TE, self.schedule, self.steps = model.embedding.wave_TE, model.schedule, config.steps
        self.important, self.drop = model.important, config.dropout
        with torch.no_grad():
            self.embed.load_state_dict(model.embedding.linear.state_dict())
            for weight in (self.inward.weight, self.outward.weight, self.outward.bias):
                weight.zero_()
            self.inward.weight[:, self.place_D] = model.inward.T
            self.inward.weight[:, columns:] = model.from_step.weight
            self.inward.bias.copy_(model.from_step.bias)
            self.outward.weight[self.place_D] = model.outward[:, :-1]
            self.outward.bias[self.place_D] = model.outward[:, -1]

    def rows(self, known: Known, queries: int) -> Tensor:
        x_PD = torch.zeros(queries, self.outward.out_features)
        x_PD[known.query_M, self.place_D[known.column_M]] = known.weight_M
        return x_PD

    def forward(self, x_PD: Tensor, step_P: Tensor) -> Tensor:
        e_PE = self.embed(self.wave_TE[step_P])
        x_PD = F.dropout(x_PD, self.drop, self.training)
        found_PD: Tensor = self.outward(torch.tanh(self.inward(torch.cat([x_PD, e_PE], 1))))
        return found_PD

    @torch.no_grad()
    def ask(self, x_PD: Tensor) -> Tensor:
        self.eval()
        c1_T, c2_T = self.schedule.c1_T.float(), self.schedule.c2_T.float()
        for t in range(self.steps - 1, -1, -1):
            x_PD = c1_T[t] * self(x_PD, torch.full((len(x_PD),), t)) + c2_T[t] * x_PD
        return x_PD

    def loss(self, x_PD: Tensor) -> Tensor:
        self.train()
        step_P, chance_P = self.important.draw(len(x_PD))
        schedule = self.schedule
        signal_P1, noise_P1 = (f_T[step_P].float()[:, None] for f_T in (schedule.signal_T, schedule.noise_T))
        noisy_PD = signal_P1 * x_PD + noise_P1 * torch.randn_like(x_PD)
        loss_P = schedule.weight_T[step_P].float() * (x_PD - self(noisy_PD, step_P)).square().mean(1)
        self.important.record(step_P, loss_P)
        return (loss_P / (self.steps * chance_P).float()).mean()


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def memory() -> int:
    """What this process holds now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The most that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ours(split: cr.data.splits.Split, autocast: bool, steps: int) -> tuple[TDiffRec, float, int]:
    """The model, CPU-seconds of a training step, and the peak of memory beyond what was held before."""
    before, streams = memory(), Streams(1)
    model = cr.TIDiffRec()
    with streams.ambient("init"):
        model.build(split.data.catalogue, split.target)
    config = TrainConfig(**SETTINGS, autocast=autocast)
    trainer = Trainer(model, split, None, config, streams)
    trainer.batcher = Batcher(split.events, model.views())
    rows = TrainingRows(trainer.batcher, split.train, (split.target,), whole=True)
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    drawn = torch.randperm(len(rows), generator=streams["order"]).split(config.batch)
    model.train()
    trainer._step(rows, drawn[0], optimizer, 0)
    spent = cpu_seconds(lambda: [trainer._step(rows, drawn[1 + n], optimizer, n) for n in range(steps)])
    return model.eval(), spent / steps, peak() - before


def theirs(dense: Dense, model: TDiffRec, split: cr.data.splits.Split, steps: int) -> float:
    """CPU-seconds of a training step."""
    rows = TrainingRows(Batcher(split.events, model.views()), split.train, (split.target,), whole=True)
    optimizer = torch.optim.AdamW(dense.parameters(), SETTINGS["lr"], weight_decay=SETTINGS["weight_decay"], fused=True)
    drawn = torch.randperm(len(rows)).split(SETTINGS["batch"])

    def step(index: Tensor) -> None:
        batch = rows.batch(index)
        optimizer.zero_grad()
        dense.loss(dense.rows(model.known(batch), len(batch))).backward()
        optimizer.step()

    step(drawn[0])
    return cpu_seconds(lambda: [step(index) for index in drawn[1 : 1 + steps]]) / steps


def asked(dense: Dense, model: TDiffRec, split: cr.data.splits.Split, users: int) -> None:
    """Compare the scores of all items of the target, and what they cost."""
    batch = next(Batcher(split.events, model.views()).queries(split.test, users))
    x_PD, found = dense.rows(model.known(batch), len(batch)), []
    long = cpu_seconds(lambda: found.append(dense.ask(x_PD)[:, dense.place_D[1:]]))
    with torch.no_grad():
        once = cpu_seconds(model._links) * len(batch) / len(split.test)
        short = once + cpu_seconds(lambda: found.append(model.scores(batch, split.target)))
    gap = (found[0] - found[1]).abs().max() / found[0].std()
    print(f"largest difference between the scores of {len(batch)} users: {gap:.1e} of their spread")
    each = 1000 / len(batch)
    print(
        f"asked for all items, 1,000 users: {short * each:.2f} CPU-s, published {long * each:.1f} CPU-s: "
        f"{long / short:.0f}x (goal 20x)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "amazon-toy-game")
    parser.add_argument("--target", default="games")
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    split = cr.LeaveLastOut(given.target).apply(load(given.data, given.target))
    model, step, held = ours(split, False, given.steps)
    gc.collect()
    brief = ours(split, True, given.steps)[1]
    gc.collect()
    before = memory()
    dense = Dense(model, split.data.catalogue)
    print(
        f"{given.target}: {len(model.inward):,} columns, published {dense.outward.out_features:,}; "
        f"{torch.get_num_threads()} threads"
    )
    asked(dense, model, split, given.users)
    slow = theirs(dense, model, split, given.steps)
    most = peak() - before
    print(f"training step: {step:.2f} CPU-s, published {slow:.2f} CPU-s: {slow / step:.1f}x")
    print(f"  under autocast: {brief:.2f} CPU-s: {slow / brief:.1f}x")
    print(
        f"peak memory of training: {held / 2**20:.0f} MiB, published {most / 2**20:.0f} MiB: {held / most:.2f} (goal 0.5)"
    )


if __name__ == "__main__":
    main()
