"""``crossrec export``: a run in a form that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, say, table

FORMS = ("vectors",)


def export(
    run: options.Run,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write.")],
    to: Annotated[str, typer.Option(metavar="FORM", help="vectors: ids and vectors of items and users, as Parquet.")],
    json: options.Json = False,
) -> None:
    """Write vectors of items and users."""
    from crossrec.errors import InputError, nearest
    from crossrec.recommender import Recommender
    from crossrec.retrieve.vectors import export_vectors

    if to not in FORMS:
        raise InputError(f"A run cannot be exported to {to!r}.{nearest(to, FORMS)}")
    card = export_vectors(Recommender.load(run), out)
    if json:
        emit({"run": str(run), "out": str(out), **card})
        return
    say(f"Wrote {out}: vectors of {card['dim']} numbers; the score is the {card['score']}.")
    say(table(["file", "vectors"], list(card["files"].items())))
