"""``crossrec models``: what can be trained, and with which settings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossrec.cli import options
from crossrec.cli.settings import wrapped
from crossrec.cli.terminal import emit, say, shown

if TYPE_CHECKING:
    from crossrec.config import Setting
    from crossrec.models.base import Model


def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show the settings of this model.")] = None,
    json: options.Json = False,
) -> None:
    """List the models; or, with a NAME, the settings of one."""
    from crossrec.models.table import MODELS, find

    if name is None:
        facts = [_facts(kind) for kind in MODELS.values()]
        if json:
            emit({"models": facts})
            return
        for one in facts:
            say(one["name"])
            say_below(f"Presets: {', '.join(one['presets'])}.")
            say_below(one["doc"] + (f" Needs {', '.join(one['needs'])}." if one["needs"] else ""))
        say("\n`crossrec models NAME` shows the settings of one.")
        return
    kind = find(name)
    if json:
        emit({**_facts(kind), "settings": [dataclasses.asdict(one) for one in settings_of(kind.Config)]})
        return
    say(f"{name}: {first_line(kind)}")
    say(f"needs: {', '.join(_facts(kind)['needs']) or 'nothing but interactions'}\n")
    print_settings_of(kind.Config, "model")
    say("\npresets (--preset NAME):")
    for preset, parts in kind.presets.items():
        values = [f"{part}.{key}={shown(value)}" for part, chosen in parts.items() for key, value in chosen.items()]
        lines = wrapped(", ".join(values) or "the defaults", 4)
        say("\n".join([f"  {preset}", *(f"    {line}" for line in lines)]))


def settings_of(config: type[Any]) -> tuple[Setting, ...]:
    """Names, types, defaults and docstrings of a config."""
    from crossrec.config import describe

    return describe(config)


def print_settings_of(config: type[Any], part: str) -> None:
    """Each setting with its type, its default and its docstring."""
    say(f"settings (--set {part}.KEY=VALUE):")
    for one in settings_of(config):
        say(f"  {one.name} = {one.default}  ({one.type})")
        for line in wrapped(one.doc, 6):
            say(f"      {line}")


def say_below(text: str) -> None:
    """A sentence under a name."""
    say("\n".join(f"    {line}" for line in wrapped(text, 4)))


def first_line(kind: type[Any]) -> str:
    """The first line of a class's docstring."""
    return (kind.__doc__ or "").strip().partition("\n")[0]


def _facts(kind: type[Model]) -> dict[str, Any]:
    needs = []
    if kind.needs.min_domains > 1:
        needs.append(f"{kind.needs.min_domains} domains")
    needs += [what for what in ("overlap", "timestamps", "ratings") if getattr(kind.needs, what)]
    presets = {name: {part: dict(chosen) for part, chosen in parts.items()} for name, parts in kind.presets.items()}
    return {"name": kind.name, "doc": first_line(kind), "needs": needs, "presets": presets}
