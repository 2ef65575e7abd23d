"""The report's plots as SVG text that takes its ink from the page (needs matplotlib)."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from crossrec.evaluation.statistics import Estimate
from crossrec.experiments.comparison import Comparison, Pair
from crossrec.experiments.curves import Curve
from crossrec.experiments.quality import Quality
from crossrec.experiments.wording import compact, shorten

COLOURS = ("#3b82d6", "#d9730d", "#2e9d5b", "#c2529b", "#8a6bd8", "#7a8794")
"""Of a lightness that stands out (3:1 or more) on white and on near-black alike."""

_MARKERS = "osD^vP"
_INK = "#102030"
_WIDTH = 4.9
_LETTERS = 70
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "crossrec",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "axes.formatter.useoffset": False,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
}


def learning_curves(curves: Sequence[Curve], metric: str) -> str:
    """Training loss and validation metric by epoch; a ring marks the epoch that was kept."""
    validated = any(curve.valid for curve in curves)

    def build(figure: Figure) -> None:
        panels = figure.subplots(2 if validated else 1, 1, sharex=True, squeeze=False)[:, 0]
        _loss_panel(panels[0], curves)
        if validated:
            _valid_panel(panels[1], curves, metric)
        panels[-1].set_xlabel("epoch")
        panels[-1].locator_params(axis="x", integer=True)
        labels = {curve.system: curve.label for curve in curves}
        lines = [Line2D([], [], color=_colour(s), linestyle=_dash(s), label=shorten(n)) for s, n in labels.items()]
        _legend(figure, lines)

    return _draw(build, 4.6 if validated else 2.9, "learning")


def by_history(comparison: Comparison, domain: str) -> str:
    """The metric of every system by the number of events of a domain in the input, with intervals."""
    groups = [group for group in comparison.groups if group.domain == domain]
    systems = comparison.systems

    def build(figure: Figure) -> None:
        axes = figure.subplots()
        for number in range(len(systems)):
            place = [at + 0.12 * (number - (len(systems) - 1) / 2) for at in range(len(groups))]
            _points(axes, place, [group.means[number] for group in groups], number)
        axes.set_xticks(range(len(groups)), [f"{group.label}\n{compact(group.users)}" for group in groups])
        axes.set_xlim(-0.5, len(groups) - 0.5)
        axes.xaxis.grid(False)
        axes.set_title(f"{comparison.metric} on {shorten(comparison.domain)}, by {shorten(domain)} history")
        axes.set_xlabel(f"{shorten(domain)} events in the input (below: users)")
        axes.set_ylabel(f"mean {comparison.metric}, {100 * comparison.level:.0f} % interval")
        _legend(figure, [_key(number, shorten(system.name)) for number, system in enumerate(systems)])

    return _draw(build, 3.3, f"history{comparison.groups.index(groups[0])}")


def lift(comparison: Comparison, pair: Pair) -> str:
    """What a system gains over the baseline, for all users and for every group, with intervals."""
    everyone = "helps" if pair.difference.value > 0 else "hurts"
    rows = [("all users", pair.test.users, pair.difference, everyone if pair.p_holm < 0.05 else "")]
    rows += [(f"{shorten(g.domain, 14)} {g.label}", g.users, g.difference, g.verdict) for g in pair.groups]
    kinds = {"helps": ("^", COLOURS[0], True), "hurts": ("v", COLOURS[1], True)}

    def build(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0.0, color=_INK, linewidth=0.9)
        for place, (_, _, gain, verdict) in enumerate(rows):
            marker, colour, filled = kinds.get(verdict, ("o", COLOURS[5], False))
            reach = [[max(0.0, gain.value - gain.low)], [max(0.0, gain.high - gain.value)]]
            face = colour if filled else "none"
            axes.errorbar(gain.value, place, xerr=reach, fmt=marker, color=colour, mfc=face, capsize=2.5, markersize=6)
        axes.set_yticks(range(len(rows)), [f"{label} ({compact(users)})" for label, users, _, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.yaxis.grid(False)
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(f"{shorten(pair.system)} against {shorten(pair.baseline)}, on {shorten(comparison.domain, 14)}")
        axes.set_xlabel(f"gain in {comparison.metric}, {100 * comparison.level:.0f} % interval")
        axes.set_ylabel("events in the input (users)")
        found = [("helps", "helps (p < .05)"), ("hurts", "hurts (p < .05)"), ("", "not shown to differ")]
        _legend(figure, [_kind_key(*kinds.get(kind, ("o", COLOURS[5], False)), label) for kind, label in found])

    return _draw(build, 1.5 + 0.25 * len(rows), f"lift{comparison.pairs.index(pair)}")


def negatives(found: Sequence[Quality], number: int) -> str:
    """Shares that are later clicked, mean ranks, and what the truth says, by epoch; ``number``: of this plot on the page."""
    said = {
        "later_clicked": ("Later clicked by the same user", "% of negatives", 100),
        "rank": ("Rank under the model", "mean (0 is the best)", 1),
        "true_top": ("Truly among the user's 1 % most wanted", "% of negatives", 100),
    }
    kinds = {"hard": ("-", 1.6), "drawn": ("--", 1.1)}
    drawn = {key: [(q.system, kind, q.points(kind, key)) for q in found for kind in kinds] for key in said}
    panels = [key for key, lines in drawn.items() if any(points for _, _, points in lines)]
    chosen = [kind for kind in kinds if any(quality.points(kind, "rank") for quality in found)]

    def build(figure: Figure) -> None:
        for axes, key in zip(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels, strict=True):
            title, unit, scale = said[key]
            lines = [(_colour(system), *kinds[kind], points) for system, kind, points in drawn[key]]
            if key == "later_clicked":
                lines += [(_INK, ":", 1.1, quality.points("drawn", "expected")) for quality in found]
            for colour, dash, width, points in lines:
                epochs, values = [epoch for epoch, _ in points], [scale * value for _, value in points]
                alone = "." if len(points) == 1 else ""
                axes.plot(epochs, values, color=colour, linestyle=dash, linewidth=width, marker=alone)
            axes.set_ylim(0, 1 if key == "rank" else None)
            axes.set_title(f"{title}, {shorten(found[0].domain, 14)}")
            axes.set_ylabel(unit)
        axes.set_xlabel("epoch")
        axes.locator_params(axis="x", integer=True)
        labels = {quality.system: quality.label for quality in found}
        systems = [Line2D([], [], color=_colour(system), label=shorten(name)) for system, name in labels.items()]
        ways = [Line2D([], [], color=_INK, linestyle=kinds[kind][0], linewidth=1.3, label=kind) for kind in chosen]
        ways += [Line2D([], [], color=_INK, linestyle=":", label="uniform draws")] if "later_clicked" in panels else []
        figure.legend(handles=systems, loc="outside upper left")
        figure.legend(handles=ways, loc="outside upper right", ncols=1 if len(systems) > 1 else len(ways))

    return _draw(build, 1.0 + 1.8 * len(panels), f"negatives{number}")


def _loss_panel(axes: Axes, curves: Sequence[Curve]) -> None:
    values = [value for curve in curves for _, value in curve.loss]
    if min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    for curve in curves:
        epochs, losses = zip(*curve.loss, strict=True)
        axes.plot(epochs, losses, color=_colour(curve.system), linestyle=_dash(curve.system), linewidth=1.5)
    axes.set_title("Training loss")
    axes.set_ylabel("mean loss per epoch")


def _valid_panel(axes: Axes, curves: Sequence[Curve], metric: str) -> None:
    for curve in curves:
        colour = _colour(curve.system)
        if curve.valid:
            epochs, values = zip(*curve.valid, strict=True)
            axes.plot(epochs, values, color=colour, linestyle=_dash(curve.system), linewidth=1.5, marker=".")
        if curve.best:
            axes.plot(*curve.best, marker="o", markersize=9, mfc="none", color=colour, markeredgewidth=1.6)
    axes.set_title("Validation (ring: the epoch that was kept)")
    axes.set_ylabel(metric)


def _points(axes: Axes, place: Sequence[float], means: Sequence[Estimate], number: int) -> None:
    value = [mean.value for mean in means]
    below = [max(0.0, mean.value - mean.low) for mean in means]
    above = [max(0.0, mean.high - mean.value) for mean in means]
    axes.errorbar(
        place,
        value,
        yerr=[below, above],
        color=_colour(number),
        marker=_MARKERS[number % len(_MARKERS)],
        linestyle=_dash(number),
        linewidth=1.2,
        markersize=5,
        capsize=2.5,
    )


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _dash(number: int) -> str:
    return ("-", "--", ":")[number // len(COLOURS) % 3]


def _key(number: int, label: str) -> Line2D:
    marker = _MARKERS[number % len(_MARKERS)]
    return Line2D([], [], color=_colour(number), linestyle=_dash(number), marker=marker, markersize=5, label=label)


def _kind_key(marker: str, colour: str, filled: bool, label: str) -> Line2D:
    face = colour if filled else "none"
    return Line2D([], [], color=colour, marker=marker, mfc=face, linestyle="none", markersize=6, label=label)


def _legend(figure: Figure, keys: list[Line2D]) -> None:
    """Above the plot, where it covers nothing."""
    letters = [6 + len(str(key.get_label())) for key in keys]
    columns = len(keys) if sum(letters) <= _LETTERS else max(1, min(len(keys), _LETTERS // max(letters)))
    figure.legend(handles=keys, loc="outside upper left", ncols=columns, columnspacing=1.2, handletextpad=0.5)


def _draw(build: Callable[[Figure], None], height: float, prefix: str) -> str:
    """Draw in this module's style, which is gone again afterwards, and make the SVG fit to stand inside a page."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=(_WIDTH, height))
        build(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), prefix)


def _inline(svg: str, prefix: str) -> str:
    """Without prologue, metadata and namespaces; ids made the page's own; ink is the page's text colour."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = svg.replace('href="#', f'href="#{prefix}-').replace("url(#", f"url(#{prefix}-")
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)
    return svg.replace(_INK, "currentColor")
