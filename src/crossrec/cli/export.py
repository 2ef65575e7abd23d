"""``crossrec export``: a run in a form that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, say, table

FORMS = ("vectors", "faiss", "onnx")


def export(
    run: options.Run,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            help="vectors: ids and vectors of items and users, as Parquet. faiss: an index of the items. "
            "onnx: the query encoder and the items as a graph.",
        ),
    ],
    json: options.Json = False,
) -> None:
    """Write vectors, an index or the query encoder of a run."""
    from crossrec.errors import InputError, nearest
    from crossrec.recommender import Recommender

    if to not in FORMS:
        raise InputError(f"A run cannot be exported to {to!r}.{nearest(to, FORMS)}")
    recommender = Recommender.load(run)
    if to == "vectors":
        from crossrec.retrieve.vectors import export_vectors

        card = export_vectors(recommender, out)
        told = f"vectors of {card['dim']} numbers; the score is the {card['score']}."
    elif to == "faiss":
        from crossrec.retrieve.export_faiss import export_faiss

        card = export_faiss(recommender, out)
        recalls = ", ".join(f"{domain} {index['recall@100']:.3f}" for domain, index in card["indexes"].items())
        told = f"indexes by inner product; recall of the best 100: {recalls}."
    else:
        from crossrec.retrieve.export_onnx import export_onnx

        card = export_onnx(recommender, out)
        told = f"graphs of the query encoder; largest difference from torch {max(card['difference'].values()):.1e}."
    if json:
        emit({"run": str(run), "out": str(out), **card})
        return
    say(f"Wrote {out}: {told}")
    say(table(["file", "vectors" if to == "vectors" else "items"], list(card["files"].items())))
