"""The training loop: phases, epochs, validation on the validation part only, checkpoints. It knows no paper."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossrec.config import from_settings
from crossrec.data.batches import Batcher, TrainingRows, deliveries
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Ints
from crossrec.evaluation.metrics import direction
from crossrec.models.base import Model, Phase
from crossrec.plugins.base import Plugin
from crossrec.samplers import table
from crossrec.samplers.base import Sampler
from crossrec.streams import Streams
from crossrec.train import distributed, phases, states
from crossrec.train.checkpoint import Checkpoint, load_optimizer, optimizer_tensors
from crossrec.train.failures import TrainingError as TrainingError
from crossrec.train.failures import check_loss, check_weights
from crossrec.train.gradients import TableGradients
from crossrec.train.objective import Parts, compiled, loss_of, soft_loss
from crossrec.train.plugged import Plugged
from crossrec.train.progress import Progress
from crossrec.train.settings import TrainConfig
from crossrec.train.tasks import check_rated
from crossrec.train.validation import Validation

Record = dict[str, Any]


def _sum(*terms: Tensor | None) -> Tensor | None:
    """The sum of the terms that are there; None where none is."""
    there = [term for term in terms if term is not None]
    return torch.stack(there).sum() if there else None


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
        facts: Mapping[str, Any] | None = None,
        start: Path | None = None,
        plugged: Plugged | None = None,
        chosen: Ints | None = None,
        adjust: Callable[[TrainConfig], TrainConfig] = lambda config: config,
        choose: bool = True,
    ) -> None:
        """``start``: a run whose finished phases are taken over where they are the same; ``facts`` say what is the same.
        ``chosen``: places of the training rows that steps are made on (None: all). ``adjust``: what becomes of the settings
        of every phase. ``choose``: whether phases with choices choose anew; if not, what the model holds stays.
        """
        self.model, self.split, self.sampler, self.streams = model, split, sampler, streams
        self.shared_config = self.config = config
        self.samplers: dict[str, Sampler | None] = {}
        self.plugged = plugged
        self.rows = split.train if chosen is None else split.train.take(chosen)
        self.adjust, self.choose = adjust, choose
        self.plugins: dict[str, Plugin] = {}
        self.folder, self.log, self.start = folder, log, start
        self.mark = dict(facts or {}) | {"processes": distributed.world()}
        self.taken: list[str] = []
        self.began, self.earlier = (time.perf_counter(), time.process_time()), (0.0, 0.0)
        self.device = streams.device
        seed = streams.seed if config.protocol == "authors" else 0
        self.validation = Validation(split, config, seed)
        self.progress = Progress()
        self.records = 0
        self.best: dict[str, Tensor] = {}
        self.saved_at = time.monotonic()
        self.tables = TableGradients()
        self.loss_of = compiled(model) if config.compile else loss_of

    def run(self, checkpoint: Checkpoint | None = None) -> Record:
        """Train through all phases, from the start or from a checkpoint. The model ends with its best weights.

        Returns what a run's record says of it; nothing where the model has no phases.
        """
        steps = self.model.phases()
        if checkpoint is not None:
            self.progress = Progress(**checkpoint.numbers["progress"])
            self.records = checkpoint.numbers["records"]
            wall, cpu = checkpoint.numbers.get("spent", (0.0, 0.0))
            self.earlier = (wall, cpu)
        for number, phase in enumerate(steps):
            self._enter(phase)
            if number < self.progress.phase:
                continue
            if number > self.progress.phase:
                self.progress = Progress(phase=number)
            if checkpoint is None and self._take(number, phase):
                continue
            self.model.begin(phase)
            if phase.choices and self.choose:
                self._choose(phase)
            elif not phase.choices:
                self._run_phase(phase, checkpoint)
            checkpoint = None
            if number + 1 < len(steps):
                self._keep(number)
        found: Record = {"best_epoch": self.progress.best_epoch, "epochs": self.progress.epoch} if steps else {}
        return found | ({"taken_over": self.taken, "taken_from": str(self.start)} if self.taken else {})

    def spent(self) -> tuple[float, float]:
        """Wall and CPU seconds so far, those up to the checkpoint that was resumed from included."""
        wall, cpu = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        return self.earlier[0] + wall, self.earlier[1] + cpu

    def _enter(self, phase: Phase) -> None:
        """Settings and sampler of a phase, and its mark: what decides how it ends, with all before it."""
        self.config = self.adjust(from_settings(TrainConfig, phase.train, base=self.shared_config))
        own = dict(phase.sampler or {})
        self.drawing = table.make(own.pop("name"), **own) if own else self.sampler
        if not self.config.draws:
            self.drawing = None
        plugin = {"plugin": self.plugged.recipe} if self.plugged and phase.plugin else {}
        self.mark["ends"] = phases.fingerprint(self.mark | plugin, phase, self.config, self.drawing)

    def _take(self, number: int, phase: Phase) -> bool:
        """Take a phase over from the run to start from, if it has the same one and all before it were taken as well."""
        groups = phases.take(self.start, number, self.mark["ends"]) if self.start else None
        if groups is None or len(self.taken) < number:
            return False
        self.model.load_state_dict(groups["model"])
        states.load_streams(self.streams, groups["streams"])
        self.taken.append(phase.name)
        return True

    def _keep(self, number: int) -> None:
        if self.folder is not None:
            groups = {"model": self.model.state_dict(), "streams": states.gather_streams(self.streams)}
            if distributed.rank() == 0:
                phases.keep(self.folder, number, self.mark["ends"], groups)

    def _run_phase(self, phase: Phase, checkpoint: Checkpoint | None) -> None:
        config, progress = self.config, self.progress
        self._look(phase)
        learning = phases.learning(phase, self.model)
        domains = (phase.domain, *phase.also)
        rated = config.task == "ratings"
        rows = TrainingRows(self.batcher, self.rows, domains, config.first, phase.whole, rated)
        if rated:
            check_rated(phase, len(rows))
        self.samplers = {domain: copy.deepcopy(self.drawing) for domain in domains}
        for domain, sampler in self.samplers.items():
            if sampler is not None:
                sampler.prepare(self.split, domain, self.device)
        plugged = self.plugged if phase.plugin else None
        self.plugins = {} if plugged is None else plugged.prepared(self.split, rows, domains)
        betas = (config.betas[0], config.betas[1])
        optimizer = torch.optim.AdamW(learning, config.lr, betas, weight_decay=config.weight_decay, fused=True)
        if checkpoint is not None:
            self._restore(checkpoint, optimizer)
        if progress.phase and not progress.epoch and phase.domain == self.model.target:
            start = {"phase": phase.name, "epoch": 0, "epochs": config.epochs}
            self._write(start | self._validate())  # a later phase must beat where it starts
        while progress.epoch < config.epochs and not progress.finished:
            began = time.perf_counter(), time.process_time()
            progress.epoch += 1
            record: Record = {"phase": phase.name, "epoch": progress.epoch, "epochs": config.epochs}
            record["loss"] = self._epoch(rows, optimizer)
            record |= self._facts(phase.domain)
            optimizer.param_groups[0]["lr"] *= config.decay
            record["seconds"], record["cpu_seconds"] = time.perf_counter() - began[0], time.process_time() - began[1]
            if phase.domain == self.model.target and progress.is_due(config):
                record |= self._validate()
            self._write(record)
            self._save(optimizer, last=progress.finished or progress.epoch == config.epochs)
        self._take_best()

    def _choose(self, phase: Phase) -> None:
        """Try every value of a phase with choices; the model ends with the one that validates best."""
        self._look(phase)
        for value in phase.choices:
            self.progress.epoch += 1
            self.model.choose(value)
            at = {"phase": phase.name, "epoch": self.progress.epoch, "epochs": len(phase.choices)}
            self._write({**at, "choice": value, **self._validate()})
        self._take_best()

    def _look(self, phase: Phase) -> None:
        """Batches are as the model looks at histories in this phase."""
        self.batcher = Batcher(self.split.events, self.model.views(), self.device)
        self.validation.begin(phase, self.model, self.batcher)

    def _write(self, record: Record) -> None:
        self.records += 1
        self.log(record)

    def _take_best(self) -> None:
        if self.best:
            self.model.load_state_dict(self.best)
            self.best = {}

    def _epoch(self, rows: TrainingRows, optimizer: torch.optim.Optimizer) -> float:
        """One pass over the rows; the mean loss of a query."""
        self.model.train()
        for sampler in self.samplers.values():
            if sampler is not None:
                sampler.begin_epoch(self.model, self.progress.epoch, self.streams["negatives"])
        loss, count = 0.0, 0
        negatives = self.streams["negatives"]
        drawn = negatives.get_state()
        for step, index in enumerate(
            deliveries(len(rows), self.config.batch, self.config.copies, self.streams["order"])
        ):
            if step % self.config.copies:
                negatives.set_state(drawn)
            else:
                drawn = negatives.get_state()
            step_loss, step_count = self._step(rows, index, optimizer, step)
            loss, count = loss + step_loss, count + step_count
        return loss / max(count, 1)

    def _facts(self, domain: str) -> Record:
        """What sampler and plug-in say of the epoch."""
        beside = {"sampler": self.samplers[domain], "plugin": self.plugins.get(domain)}
        told = {name: {} if part is None else part.facts() for name, part in beside.items()}
        return {name: facts for name, facts in told.items() if facts}

    def _step(
        self, rows: TrainingRows, index: Tensor, optimizer: torch.optim.Optimizer, step: int
    ) -> tuple[float, int]:
        """One batch, shared out among the processes; its summed loss and number of queries over all of them."""
        mine = index[distributed.rank() :: distributed.world()]
        # A process without a row runs one at no weight, so that its streams keep step with the others'.
        weight = float(len(mine) > 0)
        batch = rows.batch((mine if weight else index[:1]).to(self.device))
        queries = distributed.total(torch.tensor(len(batch) * int(weight)))
        self.model.zero_grad(set_to_none=True)
        with (
            self.streams.ambient("model"),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.autocast),
        ):
            parts, negatives = Parts(self.samplers, self.plugins), self.streams["negatives"]
            loss_P = self.loss_of(self.model, batch, parts, self.config, negatives)
            extra = _sum(self.model.auxiliary(batch), soft_loss(self.model, batch, parts, self.config, negatives))
        total = weight * loss_P.sum()
        objective = total / queries if extra is None else total / queries + weight * extra / distributed.world()
        where = f"phase {self.progress.phase}, epoch {self.progress.epoch}, batch {step}"
        check_loss(objective, where, self.split.data.users, batch.user_P)
        objective.backward()
        self.tables.collect(self.model)
        distributed.sum_gradients(self.model)
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        optimizer.step()
        return float(distributed.total(total.detach())), int(queries)

    def _validate(self) -> Record:
        """What a record says of a validation, which is taken in."""
        value, record = self.validation.rank(self.model, self.config.metric, draw=self.progress.epoch)
        if self.progress.validated(direction(self.config.metric) * value, self.config):
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        record["valid"]["best_epoch"] = self.progress.best_epoch
        return record

    def _save(self, optimizer: torch.optim.Optimizer, last: bool) -> None:
        due = last or time.monotonic() - self.saved_at >= self.config.checkpoint_seconds
        if self.folder is None or not self._together(due):
            return
        check_weights(self.model, f"phase {self.progress.phase}, epoch {self.progress.epoch}")
        streams, drawing = states.gather_streams(self.streams), states.gather_samplers(self.samplers)
        if distributed.rank() == 0:
            groups = {
                "model": self.model.state_dict(),
                "best": self.best,
                "optimizer": optimizer_tensors(optimizer),
                "streams": streams,
                "sampler": drawing,
            }
            numbers = {
                "progress": dataclasses.asdict(self.progress),
                "lr": optimizer.param_groups[0]["lr"],
                "records": self.records,
                "spent": self.spent(),
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
        states.check_processes(groups["streams"])
        states.load_streams(self.streams, groups["streams"])
        states.load_samplers(self.samplers, groups["sampler"])
