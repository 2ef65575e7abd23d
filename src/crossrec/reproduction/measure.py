"""From the per-user results of a cell's runs to its figures: mean over seeds, and a paired test against each baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossrec.evaluation.statistics import differences, t_test
from crossrec.experiments.checks import check
from crossrec.experiments.results import Results, read_results
from crossrec.experiments.systems import measure
from crossrec.reproduction.files import Key, metrics_of
from crossrec.reproduction.lines import Line
from crossrec.reproduction.recipe import Cell
from crossrec.reproduction.trainings import Trainings
from crossrec.runs import INFO, read_json


@dataclass(frozen=True)
class Tested:
    """A cell against one baseline, user by user."""

    against: str
    gain: float
    """Mean difference over users; of an error, what is below nothing is better."""
    p: float
    """Of the paired t-test."""
    seeds: tuple[int, ...]
    """Those that both have: every user's figure is the mean over them."""


@dataclass(frozen=True)
class Measured:
    """A line of the results, and what is worth saying beside it."""

    line: Line
    note: str
    """What the paper's cell has beside it."""
    why: str
    """Known reason of the gap to the paper."""
    leak: str
    tests: tuple[Tested, ...]
    """Against every baseline that is trained, the main one first."""

    @property
    def gap(self) -> float | None:
        """Ours less the paper's."""
        return None if self.line.paper is None else self.line.mean - self.line.paper


def measured(
    trainings: Trainings,
    cell: Cell,
    seeds: Sequence[int],
    tables: Sequence[str],
    expected: Mapping[Key, tuple[float, str]],
) -> list[Measured]:
    """The figures of a cell whose runs of these seeds are trained and evaluated, for those of the tables that have it."""
    found = []
    for protocol in cell.variant.protocols:
        own = [read_results(trainings.folder(cell, seed), protocol, cell.target) for seed in seeds]
        check(own, protocol)
        own_metrics = list(cell.variant.metrics.get(protocol, ()))
        metrics = {
            table: own_metrics or metrics_of(table, trainings.recipe, expected)
            for table in tables
            if table in cell.tables
        }
        tests = _tests(trainings, cell, dict(zip(seeds, own, strict=True)), protocol, set().union(*metrics.values()))
        for table, names in metrics.items():
            for metric in names:
                line = _line(trainings, cell, seeds, own, protocol, table, metric, tests[metric])
                printed = expected.get((table, cell.data.name, cell.target, cell.row.name, metric))
                compared = printed is not None and protocol in cell.variant.compared
                found.append(
                    Measured(
                        dataclasses.replace(line, paper=printed[0]) if compared and printed else line,
                        printed[1] if compared and printed else "",
                        trainings.recipe.why.get((cell.row.name, cell.target), "") if compared else "",
                        str(own[0].metadata.get("leak") or ""),
                        tests[metric],
                    )
                )
    return found


def _line(
    trainings: Trainings,
    cell: Cell,
    seeds: Sequence[int],
    own: Sequence[Results],
    protocol: str,
    table: str,
    metric: str,
    tests: Sequence[Tested],
) -> Line:
    values = [result.value(metric) for result in own]
    infos = [read_json(trainings.folder(cell, seed), INFO) for seed in seeds]
    devices = [str(info.get("device", "cpu")).partition(",")[0] for info in infos]
    device = next((name for name in devices if name != "cpu"), "cpu")
    main = next((test for test in tests if test.against == cell.against[0]), None)
    return Line(
        table=table,
        data=cell.data.name,
        target=cell.target,
        row=cell.row.name,
        metric=metric,
        protocol=protocol,
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        seeds=len(values),
        users=len(own[0]),
        paper=None,
        p_value=main.p if main else None,
        against=main.against if main else "",
        command=trainings.command(cell, table, len(seeds), device),
        commit=" ".join(dict.fromkeys(str(info.get("commit") or "unknown") for info in infos)),
        data_hash=str(infos[0]["data_hash"]),
        cpu_seconds=float(np.mean([info["cpu_seconds"] for info in infos])),
    )


def _tests(
    trainings: Trainings, cell: Cell, own: Mapping[int, Results], protocol: str, metrics: set[str]
) -> dict[str, tuple[Tested, ...]]:
    """Per metric, the tests against the baselines of which a run of one of these seeds is trained."""
    found: dict[str, list[Tested]] = {metric: [] for metric in metrics}
    for row in _baselines(trainings, cell):
        both = [seed for seed in own if trainings.finished(row, seed)]
        for seed in both:
            trainings.check(row, seed)
            trainings.evaluate(row, seed)
        if not both:
            continue
        theirs = [read_results(trainings.folder(row, seed), protocol, row.target) for seed in both]
        ours = [own[seed] for seed in both]
        check([*theirs, *ours], protocol)
        for metric in metrics:
            first_U, second_U = measure([theirs, ours], metric).value_SU
            difference_U = differences(second_U, first_U)
            p = t_test(difference_U)[1]
            found[metric].append(Tested(row.row.name, float(difference_U.mean()), p, tuple(both)))
    return {metric: tuple(tests) for metric, tests in found.items()}


def _baselines(trainings: Trainings, cell: Cell) -> Iterator[Cell]:
    for name in cell.against:
        row = trainings.recipe.row(name)
        if cell.variant.name in row.seeds and cell.target in (row.targets or trainings.recipe.targets):
            yield dataclasses.replace(cell, row=row)
