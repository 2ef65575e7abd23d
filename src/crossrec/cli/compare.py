"""``crossrec compare``: is one run better than another, by how much, and for whom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, facts, note, say, table, tell, warn

if TYPE_CHECKING:
    from crossrec.experiments.comparison import Comparison, Pair


def compare(
    runs: options.Runs,
    metric: options.Metric = None,
    protocol: options.Protocol = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Compare with this one (default: the first).")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="Compare in this target of every run (default: the runs' own).")
    ] = None,
    by: options.By = "history",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the bootstrap intervals.")] = 0,
    json: options.Json = False,
) -> None:
    """Compare runs user by user: who is better, by how much.

    Runs that differ in their seed only count as one system. A run without results under the protocol is evaluated first.
    """
    from crossrec.experiments.compare import compare as find

    protocol, metric = evaluate_missing(runs, metric, protocol, target)
    found = find(runs, metric, protocol, baseline, seed, target, by)  # type: ignore[arg-type]  # it says what it does not know
    for text in found.warnings:
        warn(text, json)
    if json:
        emit(found.to_dict())
    else:
        _print(found, means=by != "history")


def evaluate_missing(
    runs: Sequence[Path], metric: str | None, protocol: str | None, target: str | None = None
) -> tuple[str, str]:
    """Make the results that a comparison reads, where a run has none; its protocol and metric, which follow from each other
    and from the first run.
    """
    from crossrec.evaluation.protocols import check_metric
    from crossrec.evaluation.tasks import task_of, usual
    from crossrec.experiments.results import read_config, results_of

    protocol, metric = usual(task_of(read_config(runs[0])), metric, protocol)
    check_metric(protocol, metric)
    for run in runs:
        if not results_of(run, protocol, target).is_file():
            from crossrec.evaluation.run import evaluate_run

            note(f"Evaluating {run} under the protocol {protocol} ...")
            evaluate_run(run, protocol, target=target)
    return protocol, metric


def _print(found: Comparison, means: bool) -> None:
    """``means``: whether every group's are printed as well."""
    say(
        f"{found.metric} on {found.domain}, {found.part} part, {found.measured_as}, {found.users:,} users; "
        f"intervals of {found.level:.0%}\n"
    )
    rows = [
        [system.name, system.model, len(system.seeds), f"{mean.value:.4f}", f"{mean.low:.4f} to {mean.high:.4f}"]
        for system, mean in zip(found.systems, found.means, strict=True)
    ]
    say(table(["run", "model", "seeds", found.metric, "interval"], rows))
    if means:
        names = [system.name for system in found.systems]
        groups = [[group.label, group.users, *(f"{mean.value:.4f}" for mean in group.means)] for group in found.groups]
        say(f"\n{found.metric} by what is known of users in {found.domain}")
        say(table([f"{found.domain} events", "users", *names], groups))
    for pair in found.pairs:
        _print_pair(pair, found.metric)
    say()
    for text in [*found.sentences(), *found.notes]:
        tell(text)


def _print_pair(pair: Pair, metric: str) -> None:
    from crossrec.evaluation.metrics import direction
    from crossrec.experiments.comparison import NO_DIFFERENCE, SIGNIFICANT
    from crossrec.experiments.wording import p_text, percent

    say(f"\n{pair.system} against {pair.baseline}")
    relative = "–" if pair.relative is None else percent(pair.relative, sign=True)
    less = direction(metric) < 0
    rows = [
        [
            f"{metric} changed (less is better)" if less else f"{metric} gained",
            f"{pair.difference.value:+.4f} ({relative})",
        ],
        ["interval", f"{pair.difference.low:+.4f} to {pair.difference.high:+.4f}"],
        ["p (paired t-test)", p_text(pair.test.p)],
        ["p, corrected", p_text(pair.p_holm)],
        ["p (Wilcoxon)", p_text(pair.test.wilcoxon_p)],
        ["effect (d_z)", f"{pair.test.effect:+.3f}"],
        ["users better off", f"{percent(pair.users.better)} (by {pair.users.gain:+.4f})"],
        ["users worse off", f"{percent(pair.users.worse)} (by {pair.users.loss:+.4f})"],
    ]
    say(facts(rows))
    groups = [
        [
            f"{group.domain} {group.label}",
            group.users,
            f"{group.difference.value:+.4f}",
            f"{group.difference.low:+.4f} to {group.difference.high:+.4f}",
            p_text(group.p_holm),
            "–" if group.verdict == NO_DIFFERENCE else group.verdict,
        ]
        for group in pair.groups
    ]
    if groups:
        say()
        say(table(["events in input", "users", "changed" if less else "gained", "interval", "p", "verdict"], groups))
        say(f"p: corrected over these groups; helps or hurts: p below {SIGNIFICANT}.")
