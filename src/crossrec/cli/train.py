"""``crossrec train``: a model on a prepared folder, to a run folder."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.progress import Watch
from crossrec.cli.terminal import emit, note, say, warn

if TYPE_CHECKING:
    from crossrec.data.dataset import Dataset
    from crossrec.data.splits import Split
    from crossrec.recommender import Recommender
    from crossrec.train.assemble import Assembly
    from crossrec.train.settings import TrainConfig

Preferences = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="The run that the plug-in looks into, trained on the same split (default: one is trained first).",
    ),
]
SplitName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How events are held out: leave-last-out, last-merged, authors, windows, ratio, global-time, cold-target or "
        "cold-users.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting of the preset: dim=32, model.KEY, train.KEY, sampler.KEY, plugin.KEY, split.KEY, or "
        "preferences.KEY of the model that the plug-in looks into (repeat for more).",
    ),
]
Start = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Take over the first phases of this run where they are the very same ones."),
]
World = Annotated[
    Path | None, typer.Option(metavar="WORLD", help="A simulated folder: watch negatives against its truth.")
]


def train(
    prepared: Annotated[Path, typer.Argument(metavar="PREPARED", help="A prepared folder (`crossrec prepare`).")],
    target: Annotated[str, typer.Option(metavar="DOMAIN", help="The domain to recommend in.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="A model's name (`crossrec models`).")],
    out: Annotated[Path | None, typer.Option(metavar="RUN", help="The run folder to write.")] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOMAIN", help="A domain to learn from beside the target (repeat for more; default: all others)."
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where negatives come from (default: the preset's).")
    ] = None,
    plugin: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What changes weights, positives and negatives (`crossrec plugins`)."),
    ] = None,
    preferences: Preferences = None,
    preset: Annotated[str, typer.Option(metavar="NAME", help="Settings of the model under this name.")] = "default",
    split: SplitName = "leave-last-out",
    set_: Changes = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Every random stream comes from it.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of RUN, exactly.")] = False,
    start: Start = None,
    device: options.Device = "cpu",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write RUN/tensorboard too.")] = False,
    watch_negatives: Annotated[
        bool, typer.Option("--watch-negatives", help="Record how good negatives are, for the report.")
    ] = False,
    truth: World = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print every setting and what it means; train nothing.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Train a model. Under torchrun its processes share the work."""
    from crossrec.config import parse_assignments, route
    from crossrec.data import splits
    from crossrec.data.dataset import Dataset
    from crossrec.errors import InputError
    from crossrec.train import distributed
    from crossrec.train.assemble import PREFERENCES, Asked, for_split

    source = options.listed(source)
    asked = Asked(model, sampler, plugin, preset)
    changed = route(parse_assignments(set_ or []), asked.known(split), (PREFERENCES,))
    spec = {"split": split, "target": target, **changed["split"]}
    trained = for_split(spec, changed["train"])
    parts = replace(asked, settings={**changed, "train": trained}).assemble()
    data = Dataset.load(prepared)
    held = splits.apply(spec, data)
    if print_config:
        top = {"model": model, "preset": preset, "target": target, "sources": _sources(data, target, source)}
        _print_config({**top, "split": split, "seed": seed, "device": device}, held, parts, json)
        return
    if out is None:
        raise InputError("--out is missing: name the run folder to write.")
    distributed.start()
    place = distributed.device(device)
    _announce(model, held, _sources(data, target, source))
    fitted: dict[str, Any] = {"sources": source, "sampler": sampler, "preset": preset, "seed": seed, **trained}
    fitted |= {"plugin": plugin, "preferences": preferences, "resume": resume, "start": start, "device": place}
    fitted |= {"tensorboard": tensorboard, **_settings(changed)}
    fit = _watching(data, truth) if watch_negatives or truth is not None else None
    summary = _fit(fit, model, held, out, parts.train, fitted)
    (emit if json else _print)(summary)


def _settings(changed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of the parts of a run, as ``fit`` takes them."""
    names = {"model": "model", "sampler": "sampler", "plugin": "plugin", "preferences": "preference"}
    return {f"{name}_settings": changed.get(part) for part, name in names.items()}


def _print_config(top: dict[str, Any], split: Split, parts: Assembly, json: bool) -> None:
    from crossrec.cli.settings import print_settings
    from crossrec.config import from_settings
    from crossrec.data.splits import SPLITS

    spec = {key: value for key, value in split.spec.items() if key != "split"}
    beside = {"sampler": parts.sampler, "plugin": parts.plugin}
    configs: dict[str, Any] = {"model": parts.model.config, "train": parts.train}
    configs |= {name: None if part is None else part.config for name, part in beside.items()}
    configs["split"] = from_settings(SPLITS[top["split"]], spec)
    named = {name: None if part is None else part.name for name, part in beside.items()}
    print_settings({**top, **named}, configs, json)


def _sources(data: Dataset, target: str, asked: list[str] | None) -> list[str]:
    return [name for name in data.domains if name != target] if asked is None else asked


def _announce(model: str, split: Split, sources: list[str]) -> None:
    held = [split.held(name) for name in split.targets]
    valid, test = sum(len(each.valid) for each in held), sum(len(each.test) for each in held)
    size = f"{len(split.train):,} rows to learn from, {valid:,} events to choose by, {test:,} to test"
    note(f"{model} for {' and '.join(split.targets)} from {', '.join(sources) or 'itself alone'}; {size}")
    if split.leak:
        warn(split.leak)


def _watching(data: Dataset, world: Path | None) -> Callable[..., Recommender]:
    """``fit``, with its negatives watched."""
    from crossrec.data.truth import PlantedTruth
    from crossrec.experiments.negatives import watch_negatives

    truth = None if world is None else PlantedTruth(data, world)
    return lambda *given, **named: watch_negatives(*given, truth=truth, **named)[0]


def _fit(
    fit: Callable[..., Recommender] | None,
    model: str,
    split: Split,
    out: Path,
    config: TrainConfig,
    fitted: dict[str, Any],
) -> dict[str, Any]:
    """Train, watched, by another than the usual ``fit`` where one is given; what is worth saying of it."""
    from crossrec.train.fit import fit as usual

    command = shlex.join(["crossrec", *sys.argv[1:]])
    with Watch(config.metric) as watch:
        try:
            recommender = (fit or usual)(model, split, out=out, command=command, log=watch, **fitted)
        except KeyboardInterrupt:
            note(f"Interrupted. The same command with --resume goes on from the last checkpoint in {out}.")
            raise
    kept = ("wall_seconds", "cpu_seconds", "parameters", "data_hash", "split_hash", "leak")
    facts = {key: recommender.info[key] for key in kept} | _learnt(out, recommender.info)
    named = {key: recommender.recipe[key] for key in ("model", "target", "sources", "preset", "seed")}
    return {"run": str(out), **named, **facts, "metric": config.metric}


def _learnt(run: Path, info: Mapping[str, Any]) -> dict[str, Any]:
    """Epochs trained in all phases, and what validation said of the weights that were kept."""
    from crossrec.runs import read_metrics

    records = read_metrics(run)
    last = [record for record in records if record["phase"] == records[-1]["phase"]]
    valid = [record for record in last if record["epoch"] == info.get("best_epoch") and "valid" in record]
    best = valid[-1] if valid else {}
    epochs = sum("loss" in record for record in records)
    learnt = {"epochs": epochs, "best_epoch": info.get("best_epoch"), "validation": best.get("valid", {})}
    return learnt | ({"validation_further": best["valid_further"]} if "valid_further" in best else {})


def _print(summary: Mapping[str, Any]) -> None:
    best = summary["validation"].get(summary["metric"])
    say(
        f"Wrote {summary['run']}: {summary['model']} for {summary['target']}, {summary['parameters']:,} parameters"
        + (f", {summary['epochs']} epochs" if summary["epochs"] else "")
        + f", {summary['wall_seconds']:.1f} s."
    )
    if best is not None:
        further = [
            f" ({name}: {figures[summary['metric']]:.4f})"
            for name, figures in summary.get("validation_further", {}).items()
        ]
        say(f"Validation {summary['metric']} of the weights that were kept: {best:.4f}{''.join(further)}.")
    say(f"Next: crossrec evaluate {shlex.quote(summary['run'])}")
