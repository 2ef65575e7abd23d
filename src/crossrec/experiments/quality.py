"""The report's section on negatives: what was recorded of them (``negatives.jsonl``), as a plot and tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from crossrec.experiments.comparison import Comparison
from crossrec.experiments.curves import shown
from crossrec.experiments.page import Figure, heading, paragraph, plot, table
from crossrec.experiments.results import is_number, read_config, read_curve
from crossrec.experiments.wording import percent

NEGATIVES = "negatives.jsonl"
"""File of a run folder: a line per epoch and domain."""
KINDS = ("hard", "drawn")

_ROWS = 40
_MEANING = (
    "Hard negatives were chosen, the others drawn. Later clicked: the same user has the item among the events that were "
    "held out, so it was no true negative; beside it what uniform draws would have given. Rank: 0 is the best item of the "
    "domain under the model at that moment, 1 the worst."
)
_TRUTH = (
    "Truly wanted: among the 1 % of the items that the user of the planted world wants most. True affinity: how much the "
    "item is wanted, where 1 is the mean over the domain."
)


@dataclass(frozen=True)
class Quality:
    """What was recorded of a run's negatives in one domain."""

    run: str
    system: int
    label: str
    """The system's name; runs of one system share it and the number."""
    domain: str
    records: tuple[tuple[int, dict[str, Any]], ...]
    """(epoch, record); epochs are counted on over the phases, as in the learning curves."""

    def points(self, kind: str, figure: str) -> list[tuple[int, float]]:
        """A figure of the ``hard`` or ``drawn`` negatives by epoch, where there is one."""
        found = [(epoch, (record.get(kind) or {}).get(figure)) for epoch, record in self.records]
        return [(epoch, float(value)) for epoch, value in found if is_number(value)]


def read_negatives(run: Path) -> list[dict[str, Any]]:
    """The records of a run in order, up to a line that a kill cut short; none where it was not watched."""
    path, records = Path(run, NEGATIVES), list[dict[str, Any]]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def read_quality(runs: Sequence[Path], comparison: Comparison | None) -> list[Quality]:
    """What was recorded of the runs that were watched, target first, then their other domains."""
    found = []
    for each in shown(runs, comparison):
        records = read_negatives(each.run)
        at = {(line.get("phase"), line["epoch"]): epoch for epoch, line in enumerate(read_curve(each.run), 1)}
        placed = [(at.get((record["phase"], record["epoch"]), record["epoch"]), record) for record in records]
        target = read_config(each.run).get("target")
        domains = sorted(dict.fromkeys(record["domain"] for record in records), key=lambda name: name != target)
        for domain in domains:
            own = tuple((epoch, record) for epoch, record in placed if record["domain"] == domain)
            found.append(Quality(each.name, each.system, each.label, domain, own))
    return found


def negatives(runs: Sequence[Path], comparison: Comparison | None, library: ModuleType | None) -> list[str]:
    """A plot for each domain, and how the last epoch of every phase was; nothing where no run was watched."""
    found = read_quality(runs, comparison)
    if not found:
        return []
    true = any(quality.points(kind, "true_top") for quality in found for kind in KINDS)
    parts = [heading("Negatives"), paragraph(f"{_MEANING} {_TRUTH}" if true else _MEANING)]
    for number, domain in enumerate(dict.fromkeys(quality.domain for quality in found)):
        own = [quality for quality in found if quality.domain == domain]
        svg = library.negatives(own, number) if library else None
        names = ", ".join(quality.run for quality in own)
        words = f"Negatives in {domain} by epoch: share later clicked and mean rank under the model ({names})."
        parts.append(plot(svg, words, _by_epoch(own)))
    return [*parts, _last_epochs(found, true)]


def _by_epoch(found: Sequence[Quality]) -> str:
    """Of long trainings every n-th epoch, so that there are at most 40 rows, and the last."""
    epochs = sorted({epoch for quality in found for epoch, _ in quality.records})
    step = -(-len(epochs) // _ROWS)
    head, columns = ["epoch"], list[dict[int, Figure]]()
    for quality in found:
        for kind in KINDS:
            shares, ranks = quality.points(kind, "later_clicked"), quality.points(kind, "rank")
            if shares or ranks:
                head += [f"{quality.run}, {kind}: {what}" for what in ("later clicked", "rank")]
                columns += [{e: Figure(_share(v)) for e, v in shares}, {e: Figure(f"{v:.3f}") for e, v in ranks}]
    kept = [epoch for at, epoch in enumerate(reversed(epochs)) if at % step == 0][::-1]
    rows = [[epoch, *(column.get(epoch) for column in columns)] for epoch in kept]
    return table("By epoch" if step == 1 else f"Every {step} epochs", head, rows)


def _last_epochs(found: Sequence[Quality], true: bool) -> str:
    head = ["run", "domain", "phase", "negatives", "share", "later clicked", "uniform", "lift", "rank"]
    rows = []
    for quality in found:
        last = {record["phase"]: record for _, record in quality.records}
        for phase, record in last.items():
            for kind in KINDS:
                means = record.get(kind)
                if means:
                    share = record["hard_share"] if kind == "hard" else 1 - record["hard_share"]
                    row = [quality.run, quality.domain, phase, kind, Figure(percent(share))]
                    rows.append([*row, *_figures(means, true)])
    return table("The last epoch of every phase", head + (["truly wanted", "true affinity"] if true else []), rows)


def _figures(means: dict[str, Any], true: bool) -> list[Figure | None]:
    keys = {"later_clicked": _share, "expected": _share, "lift": "{:.2f}".format, "rank": "{:.3f}".format}
    if true:
        keys |= {"true_top": _share, "true_affinity": "{:.2f}".format}
    values = [(means.get(key), said) for key, said in keys.items()]
    return [Figure(said(value)) if is_number(value) else None for value, said in values]


def _share(value: float) -> str:
    """Per cent to three significant digits: these shares are often far below one."""
    return f"{100 * value:.3g} %"
