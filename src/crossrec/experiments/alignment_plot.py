"""The alignment of domains as a picture: likeness of users in one domain by that in another (needs matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crossrec.data.alignment import Alignment
from crossrec.data.beside import file_beside
from crossrec.errors import InputError
from crossrec.experiments.wording import p_text, shorten

FORMATS = (".svg", ".png", ".pdf")
ACROSS = 3
"""Panels in a row."""
_WAYS = {"categories": "cosine of category shares", "items": "shared items (Jaccard)", "vectors": "cosine of vectors"}


def check_plot(path: Path) -> None:
    """Raise InputError where there is no such format, or matplotlib is not installed."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: a plot is written as {', '.join(FORMATS)}. Give such a name.")
    try:
        import matplotlib as mpl  # noqa: PLC0415 - matplotlib is an extra, and slow to import
    except ModuleNotFoundError as error:
        raise InputError("A plot needs matplotlib: pip install 'crossrec[plots]', or leave the plot out.") from error
    assert mpl.__name__


def plot_alignment(found: Sequence[Alignment], path: Path) -> Path:
    """Draw a panel for each pair of domains, written beside and renamed; the format follows from the name.

    Raises InputError as :func:`check_plot`, and where the file cannot be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    across = min(ACROSS, len(found))
    down = -(-len(found) // across)
    figure = Figure(figsize=(3.6 * across, 3.2 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, one in zip(panels, found, strict=False):
        x, y = [each.first for each in one.bins], [each.second for each in one.bins]
        axes.plot(x, y, marker="o", color="#3b82d6", linewidth=1.2)
        mean = sum(each.pairs * each.second for each in one.bins) / one.pairs
        axes.axhline(mean, color="#7a8794", linewidth=0.9, linestyle="--")
        first, second = (shorten(name, 18) for name in one.domains)
        axes.set_title(f"ρ {one.rho:.3f}, p {p_text(one.p, inline=True)}, {one.users:,} users", fontsize=9)
        axes.set_xlabel(f"{first}: {_WAYS[one.by]}", fontsize=9)
        axes.set_ylabel(f"mean in {second}", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    kind = path.suffix[1:].lower()
    with file_beside(path, "the plot") as place:
        figure.savefig(place, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return path
