"""``crossrec samplers``: where negatives can come from."""

from __future__ import annotations

from typing import Annotated

import typer

from crossrec.cli import options
from crossrec.cli.listing import list_parts


def samplers(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show the settings of this sampler.")] = None,
    json: options.Json = False,
) -> None:
    """List the samplers; or, with a NAME, the settings of one."""
    from crossrec.samplers.table import SAMPLERS, find

    list_parts(SAMPLERS, find, name, "sampler", json)
