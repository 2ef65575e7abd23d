"""`fit`: a model, a split and a seed to a fitted recommender, in memory or as a run folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.recommender import Recommender
from crossrec.runs import CONFIG, INFO, METRICS, provenance, write_json
from crossrec.samplers.base import Sampler
from crossrec.streams import Streams
from crossrec.train import distributed
from crossrec.train.assemble import assemble, for_split
from crossrec.train.checkpoint import Checkpoint
from crossrec.train.loop import Record, Trainer
from crossrec.train.settings import TrainConfig
from crossrec.train.tensorboard import Board


def fit(
    model: str | Model | type[Model],
    split: Split,
    *,
    sources: Sequence[str] | None = None,
    sampler: str | Sampler | type[Sampler] | None = None,
    seed: int = 0,
    preset: str = "default",
    out: str | Path | None = None,
    resume: bool = False,
    start: str | Path | None = None,
    device: str | torch.device = "cpu",
    log: Callable[[Record], None] | None = None,
    tensorboard: bool = False,
    command: str | None = None,
    model_settings: Mapping[str, Any] | None = None,
    sampler_settings: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Recommender:
    """Train a model on the training rows of a split, choosing the epoch on its validation part.

    The test part of the split is taken away before anything is trained.

    Args:
        model: a model's name, class or object; a name takes the preset's settings.
        split: what :meth:`LeaveLastOut.apply` and the like return.
        sources: domains to learn from beside the target; None: all others.
        sampler: where negatives come from: a name, class or object; None: what the preset says.
        seed: every random stream of the run is derived from it.
        preset: settings published or found for this model; ``settings`` come on top.
        out: folder to write the run to (metrics, checkpoints, weights); None: nothing is written.
        resume: go on from the checkpoint in ``out``, exactly; without one the run starts anew.
        start: a run folder; its first phases are taken over where they are the very ones that this run begins with (same
            model, data, split, seed and settings of the phase). The result is the same, bit for bit; only time is saved.
        device: where to train.
        log: called with one record per epoch.
        tensorboard: write ``tensorboard/`` into ``out`` as well (an extra of the package).
        command: how the run was asked for, for its record.
        model_settings: settings of a model given by name or class, on top of the preset's.
        sampler_settings: likewise of the sampler.
        **settings: fields of :class:`~crossrec.train.settings.TrainConfig`. Under the authors' split the protocol of
            validation is the authors' too, unless it is said.

    Raises InputError for settings that do not exist or data that the model cannot use, TrainingError where the loss is
    not a number any more.
    """
    distributed.start()
    settings = for_split(split.spec, settings)
    model, train, sampler = assemble(model, sampler, preset, settings, model_settings or {}, sampler_settings or {})
    catalogue = split.data.catalogue
    names = tuple(name for name in catalogue.domains if name != split.target) if sources is None else tuple(sources)
    check(model, split, names)
    streams = Streams(seed, device)
    with streams.ambient("init"):
        model.build(catalogue, split.target, names)
    model.to(device)
    recipe = _recipe(model, sampler, train, split, preset, seed)
    folder = None if out is None else Path(out)
    board = _board(folder) if tensorboard else None
    checkpoint = _open(folder, recipe, resume)
    if folder is not None and resume and (folder / INFO).is_file():
        distributed.wait()
        return Recommender.load(folder, model=type(model), device=streams.device)
    visible = dataclasses.replace(split, test=split.test.take([]))
    log_all = _writer(folder, checkpoint, [each for each in (board, log) if each is not None])
    begin = None if start is None else Path(start)
    facts = {key: recipe[key] for key in ("model", "settings", "target", "sources", "seed", "split", "data_hash")}
    trainer = Trainer(model, visible, sampler, train, streams, folder=folder, log=log_all, facts=facts, start=begin)
    model.learn(visible)
    info = trainer.run(checkpoint)
    model.eval()
    info |= dict(zip(("wall_seconds", "cpu_seconds"), trainer.spent(), strict=True))
    info |= {"data_hash": split.data.hash, "split_hash": split.hash, "leak": split.leak, "parameters": _size(model)}
    info |= provenance(command)
    recommender = Recommender(model, split.data, recipe, info)
    if folder is not None and distributed.rank() == 0:
        recommender.save(folder)
        Checkpoint.remove(folder)
    distributed.wait()
    return recommender


def _recipe(
    model: Model, sampler: Sampler | None, train: TrainConfig, split: Split, preset: str, seed: int
) -> dict[str, Any]:
    """What was asked for, as ``config.json`` says it."""
    return {
        "format": 1,
        "model": model.name,
        "settings": model.settings(),
        "target": split.target,
        "sources": list(model.sources),
        "preset": preset,
        "seed": seed,
        "train": dataclasses.asdict(train),
        "sampler": None if sampler is None else {"name": sampler.name, **dataclasses.asdict(sampler.config)},
        "split": dict(split.spec),
        "data_hash": split.data.hash,
    }


def check(model: Model, split: Split, sources: Sequence[str]) -> None:
    """Raise InputError where the data lacks what the model declares to need."""
    needs, data, target = model.needs, split.data, split.target
    for name in sources:
        data.catalogue.block(name)
    if target in sources:
        raise InputError(f"{target!r} is the target; it cannot be a source as well.")
    if 1 + len(sources) < needs.min_domains:
        raise InputError(
            f"{model.name} needs {needs.min_domains} domains and has {1 + len(sources)}: name a source domain, or take a "
            "single-domain model."
        )
    if needs.overlap:
        counts = data.counts()
        if not any(((counts[target] > 0) & (counts[name] > 0)).any() for name in sources):
            raise InputError(
                f"{model.name} learns from users that {target!r} shares with {', '.join(map(repr, sources))}, and there is "
                "none. Check that both logs write user ids the same way, or take a single-domain model."
            )
    if needs.timestamps and data.time_E is None:
        raise InputError(
            f"{model.name} needs timestamps and these logs have none. Name their column, or take another model."
        )
    if needs.ratings and data.rating_E is None:
        raise InputError(
            f"{model.name} needs ratings and these logs have none. Name their column, or take another model."
        )


def _open(folder: Path | None, recipe: dict[str, Any], resume: bool) -> Checkpoint | None:
    """Make the run folder ready; the checkpoint to go on from, if any."""
    if folder is None:
        if resume:
            raise InputError("resume needs out: the folder of the run to go on with.")
        return None
    path = folder / CONFIG
    begun = resume and path.is_file()
    if begun:
        before = json.loads(path.read_text())
        now = json.loads(json.dumps(recipe))
        changed = sorted(key for key in now if before.get(key) != now[key])
        if changed:
            raise InputError(
                f"{folder} was started with other settings ({', '.join(changed)}). Resume with those, or take another folder."
            )
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty. Resume that run, or take another folder.")
    distributed.wait()  # every process has looked before the first one writes
    if not begun and distributed.rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, recipe)
    return Checkpoint.load(folder) if begun else None


def _board(folder: Path | None) -> Board:
    if folder is None:
        raise InputError("tensorboard needs out: the run folder that it writes into.")
    return Board(folder / "tensorboard")


def _writer(
    folder: Path | None, checkpoint: Checkpoint | None, logs: Sequence[Callable[[Record], None]]
) -> Callable[[Record], None]:
    """Writes every record to ``metrics.jsonl`` (cut back to the checkpoint) and hands it on."""
    path = None if folder is None or distributed.rank() else folder / METRICS
    if path is not None:
        lines = path.read_text().splitlines() if path.exists() and checkpoint is not None else []
        done = 0 if checkpoint is None else int(checkpoint.numbers["records"])
        fresh = path.with_name(f"{METRICS}.new")
        fresh.write_text("".join(f"{line}\n" for line in lines[:done]))
        fresh.replace(path)

    def write(record: Record) -> None:
        if path is not None:
            with path.open("a") as file:
                file.write(json.dumps(record) + "\n")
        if not distributed.rank():
            for log in logs:
                log(record)

    return write


def _size(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
