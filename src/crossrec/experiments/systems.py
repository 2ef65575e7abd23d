"""Runs as systems: seeds of one model belong together, and all are measured on the same held-out items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossrec.errors import InputError
from crossrec.evaluation.statistics import Floats, Ints
from crossrec.experiments.alignment import align
from crossrec.experiments.naming import name_groups
from crossrec.experiments.results import Results, read_config, read_run

_SETTINGS = ("model", "preset", "target", "sources", "sampler", "plugin", "settings")


@dataclass(frozen=True)
class System:
    """One way of recommending: a run, or several that differ in their seed only."""

    name: str
    model: str
    preset: str | None
    sources: tuple[str, ...]
    seeds: tuple[int | None, ...]
    runs: tuple[str, ...]
    """Run folders, one per seed."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The systems measured on the users that all of them have: S systems, U users."""

    systems: tuple[System, ...]
    value_SU: Floats
    """Per user the mean over the user's held-out items and the system's seeds."""
    history: Mapping[str, Ints]
    """Per domain, the events in the input: (U,) each; the longest of a user with several held-out items."""
    items: int
    """Held-out items that all runs have."""
    dropped: Mapping[str, int]
    """Per run folder, the held-out items that another run lacks; only where there are some."""
    untold: int = 0
    """Users of whom the metric says nothing (ratings that are all equal have no order)."""


def group(results: Sequence[Results]) -> list[list[Results]]:
    """Put runs that differ in their seed only together, in the order given.

    A seed that comes up again starts a system of its own. Where everything would be one system there is nothing to
    compare it with, so every run stands for itself.
    """
    groups: list[tuple[str, list[Results]]] = []
    for result in results:
        identity, seed = _identity(result), _seed(result)
        for known, members in groups:
            if known == identity and all(_seed(member) != seed for member in members):
                members.append(result)
                break
        else:
            groups.append((identity, [result]))
    if len(groups) == 1:
        return [[result] for result in results]
    return [members for _, members in groups]


def describe(groups: Sequence[Sequence[Results]]) -> tuple[System, ...]:
    """The systems of these groups of runs, each with a name of its own."""
    names = name_groups([[member.folder for member in members] for members in groups])
    systems = []
    for name, members in zip(names, groups, strict=True):
        run = read_run(members[0].folder)
        model = str(members[0].metadata.get("model") or run.get("model") or "?")
        preset = run.get("preset")
        systems.append(
            System(
                name,
                model,
                None if preset is None else str(preset),
                tuple(map(str, run.get("sources") or ())),
                tuple(_seed(member) for member in members),
                tuple(str(member.folder) for member in members),
            )
        )
    return tuple(systems)


def measure(groups: Sequence[Sequence[Results]], metric: str) -> Measured:
    """The metric per user and system, over the (user, item) pairs that all runs hold out.

    Raises InputError for an unknown metric and where the runs share no held-out item.
    """
    flat = [result for members in groups for result in members]
    index, user_N = align(flat)
    start_U = np.flatnonzero(np.diff(user_N, prepend=-1))
    count_U = np.diff(start_U, append=len(user_N))
    history: dict[str, Ints] = {}
    value_RU = np.empty((len(flat), len(start_U)))
    for run, (result, at_N) in enumerate(zip(flat, index, strict=True)):
        columns = {name: value_N[at_N] for name, value_N in result.columns.items()}
        value_RU[run] = result.kind.users(metric, columns, start_U)
        for domain, length_N in result.history.items():
            if domain not in history:
                history[domain] = np.maximum.reduceat(length_N[at_N], start_U)
    told_U = ~np.isnan(value_RU).any(axis=0)
    if not told_U.any():
        raise InputError(f"{metric} says nothing of any user that the runs share: take another metric.")
    value_RU = value_RU[:, told_U]
    ends = np.cumsum([len(members) for members in groups])[:-1]
    return Measured(
        describe(groups),
        np.stack([seeds_RU.mean(axis=0) for seeds_RU in np.split(value_RU, ends)]),
        {domain: length_U[told_U] for domain, length_U in history.items()},
        int(count_U[told_U].sum()),
        {str(r.folder): len(r) - len(user_N) for r in flat if len(r) > len(user_N)},
        int((~told_U).sum()),
    )


def _seed(result: Results) -> int | None:
    seed = result.metadata.get("seed", read_run(result.folder).get("seed"))
    return None if seed is None else int(seed)


def _identity(result: Results) -> str:
    """Everything that makes a run what it is, but its seed: equal text for runs that are seeds of one system."""
    known = {**result.metadata, **read_run(result.folder)}
    settings = read_config(result.folder) | {key: known.get(key) for key in _SETTINGS}
    return json.dumps(_without_seed(settings), sort_keys=True)


def _without_seed(settings: Any) -> Any:
    if isinstance(settings, Mapping):
        return {key: _without_seed(value) for key, value in settings.items() if key != "seed"}
    if isinstance(settings, list):
        return [_without_seed(value) for value in settings]
    return settings
