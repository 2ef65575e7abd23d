"""What `crossrec samplers` and `crossrec plugins` print: the parts that can be named, or the settings of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from crossrec.cli.models import first_line, print_settings_of, say_below, settings_of
from crossrec.cli.terminal import emit, say


def list_parts(
    kinds: Mapping[str, type[Any]], find: Callable[[str], type[Any]], name: str | None, part: str, json: bool
) -> None:
    """All parts of a kind, or with a ``name`` the settings of one. ``part``: the section of its settings."""
    if name is None:
        if json:
            emit({f"{part}s": [{"name": kind.name, "doc": first_line(kind)} for kind in kinds.values()]})
            return
        for kind in kinds.values():
            say(kind.name)
            say_below(first_line(kind))
        say(f"\n`crossrec {part}s NAME` shows the settings of one.")
        return
    kind = find(name)
    if json:
        settings = [dataclasses.asdict(one) for one in settings_of(kind.Config)]
        emit({"name": name, "doc": first_line(kind), "settings": settings})
        return
    say(f"{name}: {first_line(kind)}\n")
    print_settings_of(kind.Config, part)
