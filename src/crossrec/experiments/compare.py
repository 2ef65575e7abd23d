"""Compare runs per user: is one better, by how much, and for whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from crossrec.errors import InputError, nearest
from crossrec.evaluation.metrics import direction
from crossrec.evaluation.statistics import (
    Bucket,
    Floats,
    Ints,
    bootstrap_mean,
    bucket_of,
    differences,
    history_buckets,
    holm,
    interaction_buckets,
    paired_test,
    shares,
    t_test,
)
from crossrec.evaluation.tasks import task_of, usual
from crossrec.experiments.checks import check, notes, warnings
from crossrec.experiments.comparison import DRAWS, LEVEL, NO_DIFFERENCE, SIGNIFICANT, Comparison, Group, GroupLift, Pair
from crossrec.experiments.results import read_config, read_results
from crossrec.experiments.systems import Measured, System, group, measure

By = Literal["history", "target-interactions"]
"""What users are grouped by."""


def compare(
    runs: Sequence[str | Path],
    metric: str | None = None,
    protocol: str | None = None,
    baseline: Path | str | None = None,
    seed: int = 0,
    target: str | None = None,
    by: By = "history",
) -> Comparison:
    """Compare runs user by user on the held-out items that all of them have.

    Runs that differ in their seed only are one system, whose figure of a user is the mean over its seeds. Every other
    system is tested against the baseline (default: the first): paired t-test (the headline) and Wilcoxon signed-rank,
    Holm-corrected over the pairs; bootstrap percentile intervals over users. A user with several held-out items counts
    once, with their mean. ``seed`` is the bootstrap's. ``target``: compare in this domain, one of the targets of every run;
    None: in the runs' own.

    ``by``: which groups of users are looked at. ``history``: by the events that are known of them in every domain, groups of
    about as many users each; ``target-interactions``: by those of the target alone, 0, 1-2, 3-5, 6-10 and more.

    ``metric`` and ``protocol``: where one is not given it follows from the other, or from what the first run was trained for:
    ``ndcg@10`` of ``full``, ``mae`` of ``ratings``, ``auc`` of ``clicks``. Of an error less is better.

    Raises InputError where runs are not comparable (other data, target, part, protocol or negatives), lack results, or
    are fewer than two.
    """
    if by not in get_args(By):
        raise InputError(f"Users are not grouped by {by!r}.{nearest(by, get_args(By))}")
    folders = [Path(run) for run in runs]
    if len(folders) < 2:
        raise InputError(f"A comparison takes at least two runs, found {len(folders)}.")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError("The same run folder is given twice; name every run once.")
    protocol, metric = usual(task_of(read_config(folders[0])), metric, protocol)
    results = [read_results(folder, protocol, target) for folder in folders]
    check(results, protocol)
    measured = measure(group(results), metric)
    if measured.value_SU.shape[1] < 2:
        raise InputError("The runs share one user only: a paired test needs at least two.")
    rng = np.random.default_rng(seed)
    first = _baseline(measured.systems, baseline)
    domain = str(results[0].metadata.get("domain"))
    buckets = _buckets(measured, domain) if by == "history" else _by_interactions(measured, domain)
    others = [number for number in range(len(measured.systems)) if number != first]
    pairs = [_pair(measured, first, second, buckets, rng, direction(metric)) for second in others]
    corrected = holm([pair.test.p for pair in pairs])
    return Comparison(
        metric=metric,
        protocol=protocol,
        part=str(results[0].metadata.get("part")),
        domain=domain,
        users=measured.value_SU.shape[1],
        items=measured.items,
        systems=measured.systems,
        means=tuple(bootstrap_mean(value_U, rng, DRAWS, LEVEL) for value_U in measured.value_SU),
        pairs=tuple(dataclasses.replace(pair, p_holm=p) for pair, p in zip(pairs, corrected, strict=True)),
        groups=tuple(_groups(measured, buckets, rng)),
        warnings=tuple(warnings(results)),
        notes=tuple(notes(measured, metric, results[0].kind)),
        seed=seed,
    )


def _baseline(systems: Sequence[System], baseline: Path | str | None) -> int:
    """Number of the system that is named, or that has the run that is named."""
    if baseline is None:
        return 0
    wanted, path = str(baseline), Path(baseline).resolve()
    for number, system in enumerate(systems):
        if system.name == wanted or any(Path(run).resolve() == path for run in system.runs):
            return number
    raise InputError(f"The baseline {wanted!r} is none of the runs.{nearest(wanted, [s.name for s in systems])}")


Buckets = Mapping[str, tuple[Sequence[Bucket], Ints]]
"""Per domain, the buckets of its history lengths, and every user's bucket."""


def _buckets(measured: Measured, target: str) -> Buckets:
    """The target domain first; a domain in which all users have the same length tells nothing and is left out."""
    found = {}
    for domain in sorted(measured.history, key=lambda name: name != target):
        buckets = history_buckets(measured.history[domain])
        if len(buckets) > 1:
            found[domain] = (buckets, bucket_of(measured.history[domain], buckets))
    return found


def _by_interactions(measured: Measured, target: str) -> Buckets:
    if target not in measured.history:
        raise InputError(f"The results do not say what is known of users in {target!r}: evaluate the runs again.")
    length_U = measured.history[target]
    buckets = interaction_buckets(length_U)
    return {target: (buckets, bucket_of(length_U, buckets))}


def _groups(measured: Measured, buckets: Buckets, rng: np.random.Generator) -> list[Group]:
    groups = []
    for domain, (levels, level_U) in buckets.items():
        for number, bucket in enumerate(levels):
            inside_SU = measured.value_SU[:, level_U == number]
            means = tuple(bootstrap_mean(value_U, rng, DRAWS, LEVEL) for value_U in inside_SU)
            groups.append(Group(domain, bucket.label, bucket.low, bucket.high, inside_SU.shape[1], means))
    return groups


def _pair(measured: Measured, first: int, second: int, buckets: Buckets, rng: np.random.Generator, sign: int) -> Pair:
    """A system against the baseline; its p is corrected over the pairs by the caller. ``sign``: -1 where less is better."""
    one, two = measured.systems[first], measured.systems[second]
    first_U = measured.value_SU[first]
    difference_U = differences(measured.value_SU[second], first_U)
    test = paired_test(difference_U)
    return Pair(
        one.name,
        two.name,
        tuple(name for name in two.sources if name not in one.sources),
        bootstrap_mean(difference_U, rng, DRAWS, LEVEL),
        _relative(difference_U, first_U),
        test,
        test.p,
        shares(sign * difference_U),
        tuple(_lifts(difference_U, first_U, buckets, rng, sign)),
    )


def _lifts(
    difference_U: Floats, first_U: Floats, buckets: Buckets, rng: np.random.Generator, sign: int
) -> list[GroupLift]:
    lifts = []
    for domain, (levels, level_U) in buckets.items():
        for number, bucket in enumerate(levels):
            inside_U = level_U == number
            gain_U = difference_U[inside_U]
            p = t_test(gain_U)[1]
            estimate = bootstrap_mean(gain_U, rng, DRAWS, LEVEL)
            relative = _relative(gain_U, first_U[inside_U])
            lifts.append(GroupLift(domain, bucket.label, len(gain_U), estimate, relative, p, p, ""))
    corrected = holm([lift.p for lift in lifts])
    return [
        dataclasses.replace(lift, p_holm=p, verdict=_verdict(sign * lift.difference.value, p))
        for lift, p in zip(lifts, corrected, strict=True)
    ]


def _verdict(difference: float, p: float) -> str:
    if p >= SIGNIFICANT:
        return NO_DIFFERENCE
    return "helps" if difference > 0 else "hurts"


def _relative(difference_U: Floats, first_U: Floats) -> float | None:
    mean = float(first_U.mean())
    return float(difference_U.mean()) / mean if mean else None
