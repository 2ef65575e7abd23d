"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from crossrec.data.columns import Columns
    from crossrec.data.dataset import Dataset

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `crossrec train` writes it.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders.")]
Logs = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A folder with one log per domain, named after it; or a prepared one.")
]
UserColumn = Annotated[str, typer.Option("--user-column", metavar="NAME", help="Column of the user ids.")]
ItemColumn = Annotated[str, typer.Option("--item-column", metavar="NAME", help="Column of the item ids.")]
TimeColumn = Annotated[str, typer.Option("--time-column", metavar="NAME", help="Column of the times; '' reads none.")]
RatingColumn = Annotated[
    str, typer.Option("--rating-column", metavar="NAME", help="Column of the ratings; '' reads none.")
]
PositionColumn = Annotated[
    str, typer.Option("--position-column", metavar="NAME", help="Column of the published order; '' reads none.")
]
Domains = Annotated[
    list[str] | None,
    typer.Option("--domain", metavar="NAME", help="Read this domain alone (repeat for more)."),
]
Duplicates = Annotated[
    str, typer.Option(metavar="keep|drop", help="What becomes of exact repeats of (user, item, time).")
]
Order = Annotated[str, typer.Option(metavar="time|file", help="What orders a history.")]
Metric = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="ndcg@10, hr@5, mrr, auc, mae, gauc, ... (default: what fits the protocol, or the first run).",
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="full, unseen, sampled:99, authors, ratings, clicks, liked, liked:100 (default: what fits the metric, or the "
        "first run).",
    ),
]
By = Annotated[
    str,
    typer.Option(
        metavar="history|target-interactions",
        help="Groups of users: of about as many each by history in every domain, or 0, 1-2, 3-5, 6-10 and more events of the "
        "target.",
    ),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, ...")]


def columns(user: str, item: str, time: str, rating: str, position: str) -> Columns:
    """The column names that were asked for; an empty one is not read."""
    from crossrec.data.columns import Columns

    return Columns(user, item, time or None, rating or None, position or None)


def open_data(
    folder: Path,
    names: Columns,
    domains: list[str] | None,
    duplicates: str = "keep",
    order: str = "time",
    scale: str | None = None,
) -> Dataset:
    """The dataset of a folder of logs, or of a prepared folder."""
    from crossrec.data.columns import Columns
    from crossrec.data.dataset import Dataset
    from crossrec.data.prepared import HEADER
    from crossrec.errors import InputError

    if not (folder / HEADER).is_file():
        read = {"domains": domains, "columns": names, "duplicates": duplicates, "order": order}
        return Dataset.from_folder(folder, **read, rating_scale=_ends(scale))  # type: ignore[arg-type]  # one type each
    if names != Columns() or domains or duplicates != "keep" or order != "time" or scale is not None:
        raise InputError(
            f"{folder} is prepared: its columns, domains, duplicates and order are settled. Leave those options out, or "
            "name the folder of logs that it was prepared from."
        )
    return Dataset.load(folder)


def _ends(scale: str | None) -> list[float] | None:
    """The ends of a scale that is written ``1,5``."""
    from crossrec.errors import InputError

    try:
        return None if scale is None else [float(end) for end in scale.split(",")]
    except ValueError as error:
        raise InputError(f"--rating-scale {scale}: give the lowest and the highest rating, such as 1,5.") from error


def listed(given: list[str] | None) -> list[str] | None:
    """Names given one by one or with commas between them; None where none was given."""
    names = [name.strip() for text in given or [] for name in text.split(",")]
    return [name for name in names if name] or None
