"""``crossrec plugins``: what can change the weights, positives and negatives of a training."""

from __future__ import annotations

from typing import Annotated

import typer

from crossrec.cli import options
from crossrec.cli.listing import list_parts


def plugins(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show the settings of this plug-in.")] = None,
    json: options.Json = False,
) -> None:
    """List the plug-ins; or, with a NAME, the settings of one."""
    from crossrec.plugins.table import PLUGINS, find

    list_parts(PLUGINS, find, name, "plugin", json)
