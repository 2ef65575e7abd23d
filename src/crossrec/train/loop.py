"""The training loop: phases, epochs, validation on the validation part only, checkpoints. It knows no paper."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossrec.data.batches import Batcher, TrainingRows, shuffled
from crossrec.data.splits import Split
from crossrec.evaluation.metrics import per_user
from crossrec.evaluation.protocols import Protocol
from crossrec.models.base import Model, Phase
from crossrec.samplers.base import Sampler
from crossrec.streams import Streams
from crossrec.train import distributed
from crossrec.train.checkpoint import Checkpoint, load_optimizer, optimizer_tensors
from crossrec.train.gradients import TableGradients
from crossrec.train.objective import loss_of
from crossrec.train.progress import Progress
from crossrec.train.settings import TrainConfig

Record = dict[str, Any]


class TrainingError(RuntimeError):
    """Training cannot go on (the loss is not a number); the message names the batch that caused it."""


class Trainer:
    """Trains one model on the training rows of a split.

    The test part is not reachable from here: ``split`` must come without it (see ``fit``).
    """

    def __init__(
        self,
        model: Model,
        split: Split,
        sampler: Sampler | None,
        config: TrainConfig,
        streams: Streams,
        *,
        folder: Path | None = None,
        log: Callable[[Record], None] = lambda record: None,
    ) -> None:
        self.model, self.split, self.sampler, self.config, self.streams = model, split, sampler, config, streams
        self.folder, self.log = folder, log
        self.device = streams.device
        self.batcher = Batcher(split.events, model.views(), self.device)
        seed = streams.seed if config.protocol == "authors" else 0
        self.validation = Protocol(config.protocol, split.valid, seed)
        self.progress = Progress()
        self.records = 0
        self.best: dict[str, Tensor] = {}
        self.saved_at = time.monotonic()
        self.tables = TableGradients()
        self.loss_of = torch.compile(loss_of, dynamic=True) if config.compile else loss_of

    def run(self, checkpoint: Checkpoint | None = None) -> None:
        """Train through all phases, from the start or from a checkpoint. The model ends with its best weights."""
        phases = self.model.phases()
        if checkpoint is not None:
            self.progress = Progress(**checkpoint.numbers["progress"])
            self.records = checkpoint.numbers["records"]
        for number, phase in enumerate(phases):
            if number < self.progress.phase:
                continue
            if number > self.progress.phase:
                self.progress = Progress(phase=number)
            self._run_phase(phase, checkpoint)
            checkpoint = None

    def _run_phase(self, phase: Phase, checkpoint: Checkpoint | None) -> None:
        config, progress = self.config, self.progress
        self.model.begin(phase)
        learning = self._learning(phase)
        rows = TrainingRows(self.batcher, self.split.train, phase.domain, config.first)
        if self.sampler is not None:
            self.sampler.prepare(self.split, phase.domain, self.device)
        betas = (config.betas[0], config.betas[1])
        optimizer = torch.optim.AdamW(learning, config.lr, betas, weight_decay=config.weight_decay, fused=True)
        if checkpoint is not None:
            self._restore(checkpoint, optimizer)
        epochs = phase.epochs or config.epochs
        while progress.epoch < epochs and not progress.finished:
            began = time.perf_counter(), time.process_time()
            progress.epoch += 1
            record: Record = {"phase": phase.name, "epoch": progress.epoch}
            record["loss"] = self._epoch(rows, optimizer)
            optimizer.param_groups[0]["lr"] *= config.decay
            record["seconds"], record["cpu_seconds"] = time.perf_counter() - began[0], time.process_time() - began[1]
            if phase.domain == self.model.target and progress.is_due(config, epochs):
                record["valid"] = self._validate()
            self.records += 1
            self.log(record)
            self._save(optimizer, last=progress.finished or progress.epoch == epochs)
        if self.best:
            self.model.load_state_dict(self.best)
            self.best = {}

    def _learning(self, phase: Phase) -> list[Tensor]:
        names = tuple(f"{module}." if module else "" for module in phase.modules)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith(names))
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _epoch(self, rows: TrainingRows, optimizer: torch.optim.Optimizer) -> float:
        """One pass over the rows; the mean loss of a query."""
        self.model.train()
        if self.sampler is not None:
            self.sampler.begin_epoch(self.model, self.progress.epoch)
        loss, count = 0.0, 0
        for step, index in enumerate(shuffled(len(rows), self.config.batch, self.streams["order"])):
            step_loss, step_count = self._step(rows, index, optimizer, step)
            loss, count = loss + step_loss, count + step_count
        return loss / max(count, 1)

    def _step(
        self, rows: TrainingRows, index: Tensor, optimizer: torch.optim.Optimizer, step: int
    ) -> tuple[float, int]:
        """One batch, shared out among the processes; its summed loss and number of queries over all of them."""
        mine = index[distributed.rank() :: distributed.world()].to(self.device)
        batch = rows.batch(mine) if len(mine) else None
        queries = distributed.total(torch.tensor(0 if batch is None else len(batch)))
        total = torch.zeros((), device=self.device)
        optimizer.zero_grad(set_to_none=True)
        if batch is not None and len(batch):
            with (
                self.streams.ambient("model"),
                torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast),
            ):
                loss_P = self.loss_of(self.model, batch, self.sampler, self.config, self.streams["negatives"])
                extra = self.model.auxiliary(batch)
            total = loss_P.sum()
            objective = total / queries if extra is None else total / queries + extra / distributed.world()
            if not torch.isfinite(objective):
                raise TrainingError(self._describe(batch.user_P, step))
            objective.backward()
        self.tables.collect(self.model)
        distributed.average_gradients(self.model)
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        optimizer.step()
        return float(distributed.total(total.detach())), int(queries)

    def _describe(self, user_P: Tensor, step: int) -> str:
        users = self.split.data.users.ids(torch.unique(user_P).cpu().numpy()).to_pylist()
        shown = ", ".join(map(str, users[:20])) + (f" and {len(users) - 20} more" if len(users) > 20 else "")
        return (
            f"The loss is not a finite number in phase {self.progress.phase}, epoch {self.progress.epoch}, batch {step} "
            f"(users {shown}). Lower the learning rate or the scale, or set clip; the last checkpoint is kept."
        )

    def _validate(self) -> Record:
        ranking = self.validation.rank(self.model, self.batcher, draw=self.progress.epoch)
        summary = ranking.summary()
        value = float(per_user(self.config.metric, ranking.rank_N, ranking.candidates_N).mean())
        if self.progress.validated(value, self.config):
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return summary | {"best_epoch": self.progress.best_epoch}

    def _save(self, optimizer: torch.optim.Optimizer, last: bool) -> None:
        due = last or time.monotonic() - self.saved_at >= self.config.checkpoint_seconds
        if self.folder is None or not self._together(due):
            return
        streams = {
            f"{number}.{name}": state
            for name, mine in self.streams.state().items()
            for number, state in enumerate(distributed.gather(mine))
        }
        if distributed.rank() == 0:
            groups = {
                "model": self.model.state_dict(),
                "best": self.best,
                "optimizer": optimizer_tensors(optimizer),
                "streams": streams,
                "sampler": self.sampler.state() if self.sampler is not None else {},
            }
            numbers = {
                "progress": dataclasses.asdict(self.progress),
                "lr": optimizer.param_groups[0]["lr"],
                "records": self.records,
            }
            Checkpoint(groups, numbers).save(self.folder)
        self.saved_at = time.monotonic()

    def _together(self, due: bool) -> bool:
        """The first process decides for all whether to save."""
        mine = torch.tensor(int(due and distributed.rank() == 0))
        return bool(distributed.total(mine))

    def _restore(self, checkpoint: Checkpoint, optimizer: torch.optim.Optimizer) -> None:
        groups = checkpoint.groups
        self.model.load_state_dict(groups["model"])
        self.best = {name: value.to(self.device) for name, value in groups["best"].items()}
        load_optimizer(optimizer, groups["optimizer"], checkpoint.numbers["lr"])
        mine = f"{distributed.rank()}."
        self.streams.load_state(
            {name.removeprefix(mine): s for name, s in groups["streams"].items() if name.startswith(mine)}
        )
        if self.sampler is not None:
            self.sampler.load_state(groups["sampler"])
