"""``crossrec samplers``: where negatives can come from."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from crossrec.cli import options
from crossrec.cli.models import first_line, print_settings_of, say_below, settings_of
from crossrec.cli.terminal import emit, say


def samplers(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show the settings of this sampler.")] = None,
    json: options.Json = False,
) -> None:
    """List the samplers; or, with a NAME, the settings of one."""
    from crossrec.samplers.table import SAMPLERS, find

    if name is None:
        if json:
            emit({"samplers": [{"name": kind.name, "doc": first_line(kind)} for kind in SAMPLERS.values()]})
            return
        for kind in SAMPLERS.values():
            say(kind.name)
            say_below(first_line(kind))
        say("\n`crossrec samplers NAME` shows the settings of one.")
        return
    kind = find(name)
    if json:
        settings = [dataclasses.asdict(one) for one in settings_of(kind.Config)]
        emit({"name": name, "doc": first_line(kind), "settings": settings})
        return
    say(f"{name}: {first_line(kind)}\n")
    print_settings_of(kind.Config, "sampler")
