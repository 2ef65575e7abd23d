"""The report's sections in words and tables: what was learnt from, how it ranked, how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossrec.evaluation.kinds import RANKING, Kind
from crossrec.evaluation.statistics import Estimate
from crossrec.evaluation.tasks import usual
from crossrec.experiments.comparison import NO_DIFFERENCE, Comparison
from crossrec.experiments.naming import name_groups
from crossrec.experiments.page import Code, Figure, bullets, heading, paragraph, table
from crossrec.experiments.results import protocols, read_results, read_run
from crossrec.experiments.wording import figure, p_text, percent

_METRICS = ("hr@10", "ndcg@10", "mrr", "auc")
_PROTOCOLS = (
    "Protocols may disagree. Full ranking, over every item of the domain, is what a user of the system sees; to find "
    "the held-out item among a few sampled ones is an easier task."
)


def warnings(comparison: Comparison | None) -> list[str]:
    """What makes the figures less than they seem, first of all."""
    return [paragraph(f"Warning: {text}", "warning") for text in (comparison.warnings if comparison else ())]


def in_short(comparison: Comparison | None) -> list[str]:
    """The result in a sentence per pair of systems."""
    return [paragraph(sentence, "short") for sentence in comparison.sentences()] if comparison else []


def data(description: Mapping[str, Any] | None) -> list[str]:
    """The domains side by side, and their overlap."""
    if not description:
        return []
    held_out = description.get("held_out") or {}
    domains = {
        str(name): _flat(facts) | _flat({"held out": held_out.get(name, {})})
        for name, facts in dict(description.get("domains") or {}).items()
    }
    parts = [heading("The data")]
    if domains:
        keys = dict.fromkeys(key for facts in domains.values() for key in facts)
        rows = [
            [key.replace("_", " "), *(Figure(figure(facts.get(key))) for facts in domains.values())] for key in keys
        ]
        parts.append(table("Every domain", ["", *domains], rows))
    overlap = description.get("overlap")
    pairs = overlap.get("pairs") if isinstance(overlap, Mapping) else overlap
    if isinstance(pairs, Sequence) and pairs and all(isinstance(row, Mapping) for row in pairs):
        parts.append(records("Users that domains share", pairs))
    notes = description.get("notes")
    return parts + ([bullets(map(str, notes))] if notes else [])


def results(runs: Sequence[Path]) -> list[str]:
    """Every run under every protocol that it has results for."""
    kinds, leaks = dict[Kind, list[list[Any]]](), dict[str, None]()
    for name, run in zip(name_groups([[run] for run in runs]), runs, strict=True):
        for protocol in protocols(run):
            found = read_results(run, protocol)
            rows = kinds.setdefault(found.kind, [])
            ranking, leak = str(found.metadata.get("protocol", protocol)), found.metadata.get("leak")
            if leak:
                ranking, leaks[str(leak)] = f"{ranking} †", None
            shown = [Figure(f"{found.value(metric):.4f}") for metric in _metrics(found.kind, protocol)]
            rows.append([name, str(found.metadata.get("domain", "–")), ranking, *shown, len(found)])
    if not kinds:
        return []
    parts = [heading("How the runs rank" if set(kinds) == {RANKING} else "How good the runs are")]
    for kind, rows in kinds.items():
        for metrics in dict.fromkeys(_metrics(kind, row[2].removesuffix(" †")) for row in rows):
            head = ["run", "domain", "protocol", *metrics, "held-out items"]
            own = [row for row in rows if _metrics(kind, row[2].removesuffix(" †")) == metrics]
            parts.append(table("Means over held-out items" if kind is RANKING else f"Results: {kind.name}", head, own))
    if len({row[2] for row in kinds.get(RANKING, [])}) > 1:
        parts.append(paragraph(_PROTOCOLS, "soft"))
    return parts + [paragraph(f"† {leak}", "warning") for leak in leaks]


def _metrics(kind: Kind, protocol: str) -> tuple[str, ...]:
    """The columns of a table of such results."""
    if kind is RANKING:
        return _METRICS
    return kind.shown or (usual("ranking", protocol=protocol.replace("-", ":"))[1],)


def comparison_tables(comparison: Comparison | None) -> list[str]:
    """Means of the systems, tests of the pairs, and what the words mean."""
    if comparison is None:
        return []
    level = percent(comparison.level)
    means = [
        [system.name, system.model, ", ".join(system.sources) or "none", len(system.seeds), *interval(mean)]
        for system, mean in zip(comparison.systems, comparison.means, strict=True)
    ]
    head = ["system", "model", "sources", "seeds", comparison.metric, f"{level} interval"]
    title = f"{comparison.metric} on {comparison.domain}, {comparison.measured_as}, {comparison.users:,} users"
    return [
        heading("The comparison"),
        table(title, head, means),
        table("Differences per user", *_pair_table(comparison, level)),
        table("Users who are better, equally and worse off", *_shares_table(comparison)),
        bullets(_helped(comparison)),
        paragraph(
            "p: paired t-test over users, two-sided; corrected over the pairs by Holm's method. Wilcoxon: signed-rank "
            "test of the same differences. d_z: mean difference over its standard deviation between users. Intervals: "
            f"bootstrap over users, percentiles of {comparison.draws:,} draws.",
            "soft",
        ),
    ]


def recommendations(found: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Lists of recommended items: one per user where there is a key ``items``, else one table of all rows.

    A user's other keys (``user``, ``history``, ...) stand above their list.
    """
    if not found:
        return []
    parts = [heading("Recommendations")]
    if not all(isinstance(entry.get("items"), Sequence) for entry in found):
        return [*parts, records("Recommended", [_flat(entry) for entry in found])]
    for entry in found:
        about = {key: value for key, value in _flat(entry).items() if key not in ("items", "user")}
        parts.append(heading(str(entry.get("user", "A user never seen before")), 3))
        parts += [paragraph(f"{key}: {_joined(value)}", "soft") for key, value in about.items()]
        items = [item if isinstance(item, Mapping) else {"item": item} for item in entry["items"]]
        rows = [{"rank": rank} | _flat(item) for rank, item in enumerate(items, 1)]
        parts.append(records("Recommended", rows))
    return parts


def making(runs: Sequence[Path]) -> list[str]:
    """What every run says of how it came about."""
    rows = []
    for name, run in zip(name_groups([[run] for run in runs]), runs, strict=True):
        said = read_run(run)
        if said:
            code = [Code(said.get(key) or "–") for key in ("data_hash", "split_hash", "commit", "command")]
            counts = [said.get(key) for key in ("seed", "best_epoch", "wall_seconds", "cpu_seconds")]
            rows.append([name, str(said.get("model", "–")), str(said.get("preset") or "–"), *counts, *code])
    head = ["run", "model", "preset", "seed", "best epoch", "wall s", "CPU s", "data", "split", "commit", "command"]
    return [heading("How it was made"), table("Runs", head, rows)] if rows else []


def closing(comparison: Comparison | None, notes: Sequence[str]) -> list[str]:
    """Notes of the comparison and of whoever asked for the report."""
    said = [*notes, *(comparison.notes if comparison else ())]
    return [heading("Notes"), bullets(said)] if said else []


def records(caption: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of mappings; its columns are all their keys, in order of appearance."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return table(caption, [key.replace("_", " ") for key in keys], [[row.get(key) for key in keys] for row in rows])


def _pair_table(comparison: Comparison, level: str) -> tuple[list[str], list[list[Any]]]:
    head = ["system", "against", "difference", f"{level} interval", "relative", "p", "corrected p", "Wilcoxon p", "d_z"]
    rows = []
    for pair in comparison.pairs:
        relative = Figure("–" if pair.relative is None else percent(pair.relative, sign=True))
        ps = [Figure(p_text(p)) for p in (pair.test.p, pair.p_holm, pair.test.wilcoxon_p)]
        effect = Figure(f"{pair.test.effect:+.3f}")
        rows.append([pair.system, pair.baseline, *interval(pair.difference, "+"), relative, *ps, effect])
    return head, rows


def _shares_table(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    head = ["system", "against", "adds", "better", "equal", "worse", "mean gain", "mean loss"]
    rows = []
    for pair in comparison.pairs:
        users = pair.users
        shares = [Figure(percent(share)) for share in (users.better, users.equal, users.worse)]
        means = [Figure(f"{mean:+.4f}") for mean in (users.gain, users.loss)]
        rows.append([pair.system, pair.baseline, ", ".join(pair.adds) or "no domain", *shares, *means])
    return head, rows


def _helped(comparison: Comparison) -> list[str]:
    """Per pair, the groups that gain and lose significantly."""
    lines = []
    for pair in comparison.pairs:
        for verdict, word in (("helps", "gain"), ("hurts", "lose")):
            found = [f"{group.domain} {group.label}" for group in pair.groups if group.verdict == verdict]
            if found:
                groups = ", ".join(found)
                lines.append(f"Under {pair.system}, users with these events in the input {word} (p < .05): {groups}.")
        if all(group.verdict == NO_DIFFERENCE for group in pair.groups):
            lines.append(f"Under {pair.system}, no group by events in the input is shown to gain or lose.")
    return lines


def interval(estimate: Estimate, sign: str = "") -> tuple[Figure, Figure]:
    """A mean and its interval, as two cells of a table."""
    return Figure(f"{estimate.value:{sign}.4f}"), Figure(f"{estimate.low:{sign}.4f} to {estimate.high:{sign}.4f}")


def _flat(facts: Any, prefix: str = "") -> dict[str, Any]:
    """A mapping of mappings as one level: ``{"length": {"median": 5}}`` is ``{"length median": 5}``."""
    if not isinstance(facts, Mapping):
        return {prefix.strip() or "value": facts}
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        flat |= _flat(value, f"{prefix}{key} ") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
