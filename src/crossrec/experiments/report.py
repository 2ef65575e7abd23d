"""One HTML file that tells what was learnt from, how it ranked, and for whom: readable by anyone, anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from crossrec.data.beside import file_beside
from crossrec.evaluation.tasks import task_of, usual
from crossrec.experiments import quality, sections
from crossrec.experiments.comparison import Comparison
from crossrec.experiments.curves import Curve, read_curves
from crossrec.experiments.page import Figure, heading, page, paragraph, plot, table
from crossrec.experiments.results import read_config
from crossrec.experiments.wording import p_text, percent

NO_PLOTS = "Tables only: `pip install crossrec[plots]` adds the plots."

_ROWS = 40
_VALIDATED = "ndcg@10"


def write_report(
    path: str | Path,
    *,
    title: str,
    runs: Sequence[str | Path],
    description: Mapping[str, Any] | None = None,
    comparison: Comparison | None = None,
    recommendations: Sequence[Mapping[str, Any]] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the report of these runs as one HTML file that loads nothing: styles and plots are inside.

    Args:
        path: The file; its folder is made, and the file appears whole or not at all.
        title: The page's title.
        runs: Run folders; results and learning curves are shown of those that have them.
        description: What ``crossrec describe`` finds: ``domains`` (facts by name) and ``overlap`` (rows).
        comparison: What ``crossrec compare`` finds of these runs.
        recommendations: One mapping per user with ``user``, ``items`` (ids, or mappings such as ``{"item": ...,
            "title": ..., "score": ...}``) and anything else worth saying (``history``); or plain rows.
        notes: Sentences for the end of the page.

    Plots need matplotlib (``crossrec[plots]``); without it the page has their tables, and says so.
    Raises InputError where the file cannot be written.
    """
    folders = [Path(run) for run in runs]
    metric = comparison.metric if comparison else _VALIDATED
    curves = read_curves(folders, metric, comparison)
    told = read_config(folders[0]) if folders else {}
    for further in (_VALIDATED, usual(task_of(told))[1]):
        if not any(curve.valid for curve in curves):
            metric, curves = further, read_curves(folders, further, comparison)
    body = [
        heading(title, 1),
        *sections.warnings(comparison),
        *sections.in_short(comparison),
        *sections.data(description),
        *sections.results(folders),
        *sections.comparison_tables(comparison),
        *_plots(comparison, curves, metric, folders),
        *sections.recommendations(recommendations),
        *sections.making(folders),
        *sections.closing(comparison, notes),
    ]
    with file_beside(Path(path), "the report") as place:
        place.write_text(page(title, body), encoding="utf-8")


def _plots(comparison: Comparison | None, curves: Sequence[Curve], metric: str, runs: Sequence[Path]) -> list[str]:
    """Metric by history length, lift per user group, learning curves, quality of negatives: each with its table."""
    library = _library()
    parts = []
    if comparison:
        parts += _history_plots(comparison, library) + _lift_plots(comparison, library)
    if curves:
        svg = library.learning_curves(curves, metric) if library else None
        words = f"Training loss and validation {metric} by epoch ({', '.join(curve.run for curve in curves)})."
        parts += [heading("Learning curves"), plot(svg, words, _curve_table(curves, metric))]
    parts += quality.negatives(runs, comparison, library)
    if parts and library is None:
        parts.append(paragraph(NO_PLOTS, "soft"))
    return parts


def _history_plots(comparison: Comparison, library: ModuleType | None) -> list[str]:
    parts = [heading(f"{comparison.metric} by history length")] if comparison.groups else []
    interval = f"{percent(comparison.level)} interval"
    for domain in dict.fromkeys(group.domain for group in comparison.groups):
        words = f"Mean {comparison.metric} of every system by the {domain} events in the input, with {interval}s."
        head = [f"{domain} events", "users"]
        for system in comparison.systems:
            head += [system.name, interval]
        rows: list[list[Any]] = []
        for group in (group for group in comparison.groups if group.domain == domain):
            rows.append([group.label, group.users])
            for mean in group.means:
                rows[-1] += sections.interval(mean)
        svg = library.by_history(comparison, domain) if library else None
        parts.append(plot(svg, words, table(f"{comparison.metric} by {domain} history", head, rows)))
    return parts


def _lift_plots(comparison: Comparison, library: ModuleType | None) -> list[str]:
    parts = [heading("Who gains")]
    interval = f"{percent(comparison.level)} interval"
    head = ["events in the input", "users", "difference", interval, "corrected p", "verdict"]
    for pair in comparison.pairs:
        words = (
            f"Gain in {comparison.metric} of {pair.system} over {pair.baseline} among all users and by history length, "
            f"with {interval}s; filled where the p corrected over the groups is below .05."
        )
        rows: list[list[Any]] = [["all users", pair.test.users, pair.difference, pair.p_holm, ""]]
        rows += [[f"{g.domain} {g.label}", g.users, g.difference, g.p_holm, g.verdict] for g in pair.groups]
        shown = [
            [label, users, *sections.interval(gain, "+"), Figure(p_text(p)), verdict]
            for label, users, gain, p, verdict in rows
        ]
        svg = library.lift(comparison, pair) if library else None
        parts.append(plot(svg, words, table(f"{pair.system} against {pair.baseline}", head, shown)))
    return parts


def _curve_table(curves: Sequence[Curve], metric: str) -> str:
    """Loss and metric by epoch; of long trainings every n-th epoch, so that there are at most 40 rows, and the last."""
    epochs = sorted({epoch for curve in curves for epoch, _ in curve.loss})
    step = -(-len(epochs) // _ROWS)
    shown = [epoch for epoch in epochs if (epochs[-1] - epoch) % step == 0]
    head, columns = ["epoch"], list[Mapping[int, float]]()
    for curve in curves:
        head += [f"{curve.run}: loss", f"{curve.run}: {metric}"]
        columns += [dict(curve.loss), dict(curve.valid)]
    rows = [[epoch, *(_decimals(column.get(epoch)) for column in columns)] for epoch in shown]
    return table("By epoch" if step == 1 else f"Every {step} epochs", head, rows)


def _decimals(value: float | None) -> Figure | None:
    return None if value is None else Figure(f"{value:.4f}")


def _library() -> ModuleType | None:
    """The plots, or None where matplotlib is not installed."""
    try:
        from crossrec.experiments import plots  # noqa: PLC0415 - matplotlib is an extra, and slow to import
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None
    return plots
