"""`update`: a run goes on from where it is with new events, and is served if it has not become worse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from crossrec.data.columns import Columns
from crossrec.data.dataset import Dataset
from crossrec.data.filters import Filters
from crossrec.data.formats import open_file
from crossrec.data.grown import Grown, check_times, grow
from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.evaluation.tasks import task_of
from crossrec.recommender import Recommender
from crossrec.serve import update_guards as guards
from crossrec.serve import versions
from crossrec.serve.update_data import chosen_rows, held_out, sample
from crossrec.serve.update_events import arrivals
from crossrec.serve.update_place import UPDATE, alone, keep, refuse_full
from crossrec.serve.update_report import Report, UpdateConfig, UpdateRefused
from crossrec.train.go_on import go_on


def update(
    run: str | Path,
    events: str,
    *,
    config: UpdateConfig | None = None,
    items: str | Path | None = None,
    columns: Columns | None = None,
    out: str | Path | None = None,
    force: bool = False,
    keep_versions: int | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    log: Callable[[dict[str, Any]], None] = lambda record: None,
    command: str | None = None,
) -> Report:
    """Train the version that is served further on new events; publish the outcome, and switch to it.

    Args:
        run: a run folder; nothing in it changes but ``versions/``.
        events: URL of a store, of which all since the last update is read; or a log: see
            :func:`~crossrec.serve.update_events.arrivals`.
        config: settings.
        items: a table with titles or categories of items, for those that have none (as ``prepare`` reads it).
        columns: names of a log's columns.
        out: a folder for the new run, which is not published then.
        force: keep what the guards refuse.
        keep_versions: once the new version is served, remove the oldest ones so that so many stay
            (:func:`~crossrec.serve.versions.prune`); None: all stay.
        seed: of new rows, of the training and of what is drawn.
        device: where to train.
        log: called with one record per epoch.
        command: how it was asked for, for the record.

    Raises:
        UpdateRefused: where a guard refuses; nothing has changed, and the same events will be read again.
        InputError: for what cannot be used, a run that cannot be updated, and too few new events.
        StoreError: where the store is away.
        TrainingError: where the loss is not a number any more.
    """
    place, own, settings = Path(run), None if out is None else Path(out), config or UpdateConfig()
    if own is not None:
        refuse_full(own)
    with alone(place) if own is None else nullcontext():
        base = versions.pointed(place)
        old = _loaded(versions.folder_of(place, base), device)
        past = old.info.get(UPDATE) or {}
        read = arrivals(events, old.data.domains, past.get("cursors", {}), columns)
        data = None if read.data is None else _grown(old, read.data, items)
        if data is None or not data.fresh_G.any():
            known = {} if data is None else {"known already": data.repeats}
            return Report(base, events={"new": 0, **known, **read.skipped})
        split = held_out(old, data, settings)
        chosen_N, counts = chosen_rows(old, data, split, past.get("valid_from"), settings, seed)
        records: list[dict[str, Any]] = []

        def take(record: dict[str, Any]) -> None:
            records.append(record)
            log(record)

        how: dict[str, Any] = {"epochs": settings.epochs, "lr": settings.lr, "seed": seed, "device": device}
        new = go_on(old, split, chosen_N, **how, log=take, command=command)
        report = _judged(Report(base, events=read.skipped, users=counts), old, new, data, split, settings, seed)
        if report.refused and not force:
            raise UpdateRefused(report)
        cursors = past.get("cursors", {}) | ({} if read.cursor is None else {read.origin: read.cursor})
        facts = {"cursors": cursors, "from": read.origin, "valid_from": split.spec["valid"]}
        new.info[UPDATE] = facts | {"settings": asdict(settings), "seed": seed, "forced": bool(report.refused)}
        done = keep(place, own, new, records, report)
        gone = versions.prune(place, keep_versions) if done.switched and keep_versions is not None else []
        return replace(done, removed=tuple(gone))


def _judged(
    begun: Report, old: Recommender, new: Recommender, data: Grown, split: Split, settings: UpdateConfig, seed: int
) -> Report:
    """What is to be said of a new version, the guards' reasons against it among it."""
    held, moved = guards.looked(old, new, split, sample(old, data, settings.sample, seed))
    events = {"new": int(data.fresh_G.sum()), "known already": data.repeats, "late": data.late}
    return replace(
        begun,
        events={**events, "held out": len(split.valid) + len(split.test), **begun.events},
        users={"new": new.data.num_users - old.data.num_users, **begun.users},
        items={name: len(ids) - len(old.data.items[name]) for name, ids in new.data.items.items()},
        held=held,
        drift=moved,
        refused=tuple(guards.against(held, moved, old.target, settings)),
        epochs=new.info.get("best_epoch", 0),
        seconds=new.info["wall_seconds"],
    )


def _loaded(folder: Path, device: str | torch.device) -> Recommender:
    """The run to go on with, or InputError where it cannot be gone on with."""
    versions.verify(folder)
    old = Recommender.load(folder, device=device)
    if task_of(old.recipe) == "ratings":
        raise InputError(
            "A run that predicts ratings cannot be updated: events that are posted have none. Train it again."
        )
    check_times(old.data, "The data of the run")
    return old


def _grown(old: Recommender, new: Dataset, items: str | Path | None) -> Grown:
    """Old data and new events; of rated ones those alone that the run's data would have kept."""
    least = [entry["set"]["binarise"] for entry in old.data.card.get("filters", []) if "binarise" in entry["set"]]
    if least and new.rating_E is not None:
        new = Filters(binarise=max(least)).apply(new)
    return grow(old.data, new, None if items is None else open_file(Path(items)))
