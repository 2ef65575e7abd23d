"""``crossrec train``: a model on a prepared folder, to a run folder."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.progress import Watch
from crossrec.cli.terminal import emit, note, say, warn

if TYPE_CHECKING:
    from crossrec.data.dataset import Dataset
    from crossrec.data.splits import Split
    from crossrec.models.base import Model
    from crossrec.recommender import Recommender
    from crossrec.samplers.base import Sampler
    from crossrec.train.settings import TrainConfig


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
    preset: Annotated[str, typer.Option(metavar="NAME", help="Settings of the model under this name.")] = "default",
    split: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How events are held out: leave-last-out, authors, windows, ratio, global-time or cold-users.",
        ),
    ] = "leave-last-out",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the preset: dim=32, model.KEY, train.KEY, sampler.KEY or split.KEY (repeat for more).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Every random stream comes from it.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of RUN, exactly.")] = False,
    start: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Take over the first phases of this run where they are the very same ones."),
    ] = None,
    device: options.Device = "cpu",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write RUN/tensorboard too.")] = False,
    watch_negatives: Annotated[
        bool, typer.Option("--watch-negatives", help="Record how good negatives are, for the report.")
    ] = False,
    truth: Annotated[
        Path | None, typer.Option(metavar="WORLD", help="A simulated folder: watch negatives against its truth.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print every setting and what it means; train nothing.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Train a model. Under torchrun its processes share the work."""
    from crossrec.config import parse_assignments
    from crossrec.data import splits
    from crossrec.data.dataset import Dataset
    from crossrec.errors import InputError
    from crossrec.train import distributed
    from crossrec.train.assemble import assemble, for_split

    source = options.listed(source)
    changed = _routed(parse_assignments(set_ or []), model, sampler, preset, split)
    spec = {"split": split, "target": target, **changed["split"]}
    trained = for_split(spec, changed["train"])
    parts = assemble(model, sampler, preset, trained, changed["model"], changed["sampler"])
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
    fitted |= {"model_settings": changed["model"], "sampler_settings": changed["sampler"]}
    fitted |= {"resume": resume, "start": start, "device": place, "tensorboard": tensorboard}
    fit = _watching(data, truth) if watch_negatives or truth is not None else None
    summary = _fit(fit, model, held, out, parts[1], fitted)
    (emit if json else _print)(summary)


def _routed(
    settings: Mapping[str, Any], model: str, sampler: str | None, preset: str, split: str
) -> dict[str, dict[str, Any]]:
    """Whose setting each of them is."""
    from crossrec.config import route
    from crossrec.train.assemble import known_settings

    return route(settings, known_settings(model, preset, sampler, split))


def _print_config(
    top: dict[str, Any], split: Split, parts: tuple[Model, TrainConfig, Sampler | None], json: bool
) -> None:
    from crossrec.cli.settings import print_settings
    from crossrec.config import from_settings
    from crossrec.data.splits import SPLITS

    spec = {key: value for key, value in split.spec.items() if key != "split"}
    model, train, sampler = parts
    configs = {"model": model.config, "train": train, "sampler": None if sampler is None else sampler.config}
    configs["split"] = from_settings(SPLITS[top["split"]], spec)
    print_settings({**top, "sampler": None if sampler is None else sampler.name}, configs, json)


def _sources(data: Dataset, target: str, asked: list[str] | None) -> list[str]:
    return [name for name in data.domains if name != target] if asked is None else asked


def _announce(model: str, split: Split, sources: list[str]) -> None:
    size = f"{len(split.train):,} rows to learn from, {len(split.valid):,} events to choose by, {len(split.test):,} to test"
    note(f"{model} for {split.target} from {', '.join(sources) or 'itself alone'}; {size}")
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
    best = [record["valid"] for record in last if record["epoch"] == info.get("best_epoch") and "valid" in record]
    epochs = sum("loss" in record for record in records)
    return {"epochs": epochs, "best_epoch": info.get("best_epoch"), "validation": best[-1] if best else {}}


def _print(summary: Mapping[str, Any]) -> None:
    best = summary["validation"].get(summary["metric"])
    say(
        f"Wrote {summary['run']}: {summary['model']} for {summary['target']}, {summary['parameters']:,} parameters"
        + (f", {summary['epochs']} epochs" if summary["epochs"] else "")
        + f", {summary['wall_seconds']:.1f} s."
    )
    if best is not None:
        say(f"Validation {summary['metric']} of the weights that were kept: {best:.4f}.")
    say(f"Next: crossrec evaluate {shlex.quote(summary['run'])}")
