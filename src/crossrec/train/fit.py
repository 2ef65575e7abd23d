"""`fit`: a model, a split and a seed to a fitted recommender, in memory or as a run folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.recommender import Recommender
from crossrec.runs import CONFIG, INFO, METRICS, provenance, write_json
from crossrec.streams import Streams
from crossrec.train import distributed
from crossrec.train.assemble import PREFERENCES, AnyPlugin, AnySampler, Asked, Assembly, for_split
from crossrec.train.checkpoint import Checkpoint
from crossrec.train.loop import Record, Trainer
from crossrec.train.plugged import Plugged, check_frozen
from crossrec.train.tasks import check_data, settled
from crossrec.train.tensorboard import Board


def fit(
    model: str | Model | type[Model],
    split: Split,
    *,
    sources: Sequence[str] | None = None,
    sampler: AnySampler | None = None,
    plugin: AnyPlugin | None = None,
    preferences: str | Path | Recommender | None = None,
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
    plugin_settings: Mapping[str, Any] | None = None,
    preference_settings: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Recommender:
    """Train a model on the training rows of a split, choosing the epoch on its validation part; of several targets by the
    mean of the metric over them.

    The test parts of the split are taken away before anything is trained.

    Args:
        model: a model's name, class or object; a name takes the preset's settings.
        split: what :meth:`LeaveLastOut.apply` and the like return.
        sources: domains to learn from beside the target; None: all others.
        sampler: where negatives come from: a name, class or object; None: what the preset says.
        plugin: what changes weights, positives and negatives of the training: a name, class or object; None: nothing does.
        preferences: the run folder, or the recommender, that the plug-in looks into, trained on the same split. None: the
            plug-in's own kind of model is trained first, in ``out/preferences``, and resumed there.
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
        plugin_settings: likewise of the plug-in.
        preference_settings: of the model that is trained for the plug-in, and of its training.
        **settings: fields of :class:`~crossrec.train.settings.TrainConfig`. Under the authors' split the protocol of
            validation is the authors' too, unless it is said.

    Raises InputError for settings that do not exist or data that the model cannot use, TrainingError where the loss is
    not a number any more.
    """
    distributed.start()
    given = {
        "model": model_settings,
        "sampler": sampler_settings,
        "plugin": plugin_settings,
        PREFERENCES: preference_settings,
    }
    chosen = {part: values or {} for part, values in given.items()} | {"train": for_split(split.spec, settings)}
    asked = Asked(model, sampler, plugin, preset, chosen)
    others = tuple(name for name in split.data.domains if name != split.target)
    names = others if sources is None else tuple(sources)
    run = _Run(seed, None if out is None else Path(out), resume, device, log, command)
    begin = None if start is None else Path(start)
    return _train(asked, split, names, run, begin, preferences, tensorboard)


@dataclass(frozen=True)
class _Run:
    """How and where a run is made: what the run that its plug-in looks into shares with it."""

    seed: int
    folder: Path | None
    resume: bool
    device: str | torch.device
    log: Callable[[Record], None] | None
    command: str | None

    def below(self) -> _Run:
        """The run that the plug-in looks into."""

        def log(record: Record) -> None:
            if self.log is not None:
                self.log({**record, "phase": f"{PREFERENCES}: {record['phase']}"})

        folder = None if self.folder is None else self.folder / PREFERENCES
        there = folder is not None and folder.is_dir()
        return dataclasses.replace(self, folder=folder, resume=self.resume and there, log=log)


def _train(
    asked: Asked,
    split: Split,
    sources: tuple[str, ...],
    run: _Run,
    start: Path | None = None,
    preferences: str | Path | Recommender | None = None,
    tensorboard: bool = False,
) -> Recommender:
    parts, folder = asked.assemble(), run.folder
    model = parts.model
    check(model, split, sources)
    streams = Streams(run.seed, run.device)
    with streams.ambient("init"):
        model.build(split.data.catalogue, split.target, sources)
    _check_targets(model, split)
    check_data(model, split, parts.train)
    parts = parts._replace(train=settled(parts.train, split))
    model.to(run.device)
    _refuse_full(folder, run.resume)
    frozen = _frozen(asked, parts, split, sources, run, preferences)
    recipe = parts.recipe(split, sources, asked.preset, run.seed, None if frozen is None else frozen.recipe)
    board = _board(folder) if tensorboard else None
    checkpoint = _open(folder, recipe, run.resume)
    if folder is not None and run.resume and (folder / INFO).is_file():
        distributed.wait()
        return Recommender.load(folder, model=type(model), device=streams.device)
    visible = split.untested()
    log = _writer(folder, checkpoint, [each for each in (board, run.log) if each is not None])
    facts = {key: recipe[key] for key in ("model", "settings", "target", "sources", "seed", "split", "data_hash")}
    plugged = Plugged(parts.plugin, frozen, recipe["plugin"]) if parts.plugin and frozen else None
    beside: dict[str, Any] = {"folder": folder, "log": log, "facts": facts, "start": start, "plugged": plugged}
    trainer = Trainer(model, visible, parts.sampler, parts.train, streams, **beside)
    model.learn(visible)
    info = trainer.run(checkpoint)
    model.eval()
    info |= dict(zip(("wall_seconds", "cpu_seconds"), trainer.spent(), strict=True))
    info |= {"data_hash": split.data.hash, "split_hash": split.hash, "leak": split.leak, "parameters": _size(model)}
    info |= {"counted": counted} if (counted := model.counted()) else {}
    info |= provenance(run.command, distributed.device_name(streams.device))
    recommender = Recommender(model, split.data, recipe, info)
    if folder is not None and distributed.rank() == 0:
        recommender.save(folder)
        Checkpoint.remove(folder)
    distributed.wait()
    return recommender


def _frozen(
    asked: Asked,
    parts: Assembly,
    split: Split,
    sources: tuple[str, ...],
    run: _Run,
    given: str | Path | Recommender | None,
) -> Recommender | None:
    """The fitted model that the plug-in looks into: the given one, or one that is trained, or resumed, first."""
    if parts.plugin is None:
        if given is not None or asked.settings.get("plugin") or asked.settings.get(PREFERENCES):
            raise InputError("preferences and the settings of a plug-in need one: name the plug-in, or leave them out.")
        return None
    parts.plugin.check(split)
    if given is None:
        source = asked.preferences(parts.model)
        spec = {"model": source.settings["model"], "train": for_split(split.spec, source.settings["train"])}
        return _train(dataclasses.replace(source, settings=spec), split, sources, run.below())
    if asked.settings.get(PREFERENCES):
        raise InputError("The run that the plug-in looks into is given with its settings: leave preferences.KEY out.")
    found = given if isinstance(given, Recommender) else Recommender.load(given, device=run.device)
    check_frozen(found, split)
    return found


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


def _check_targets(model: Model, split: Split) -> None:
    """Raise InputError where a model that is built cannot recommend in one of the targets."""
    for name in split.targets:
        if name not in model.serves():
            raise InputError(
                f"The split holds out in {', '.join(map(repr, split.targets))}, and {model.name} with these settings and "
                f"sources recommends in {', '.join(map(repr, model.serves()))} alone. Leave {name!r} out of the targets, or "
                "take a model that learns what comes next in all of them (an encoder with domains=merged does)."
            )


def _refuse_full(folder: Path | None, resume: bool) -> None:
    """Raise InputError where a new run would be written into a folder with something in it."""
    if folder is not None and not resume and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty. Resume that run, or take another folder.")


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
