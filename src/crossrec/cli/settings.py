"""Settings with their docstrings, for people and for programs."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

from crossrec.cli.terminal import emit, say


def print_settings(top: Mapping[str, Any], configs: Mapping[str, Any], json: bool) -> None:
    """What a run would be trained with: ``top`` as it is, and every setting of the configs (None: there is none)."""
    from crossrec.config import describe

    if json:
        told = {
            part: {
                one.name: {"value": getattr(config, one.name), "type": one.type, "doc": one.doc}
                for one in describe(type(config))
            }
            for part, config in configs.items()
            if config is not None
        }
        emit({**top, "settings": told})
        return
    say(_yaml(top))
    say("# Change one with --set SECTION.KEY=VALUE.")
    say("settings:")
    for part, config in configs.items():
        say(f"  {part}:" if config is not None else f"  {part}: null")
        for one in describe(type(config)) if config is not None else ():
            for line in wrapped(one.doc, 6):
                say(f"    # {line}")
            say(f"    {_yaml({one.name: getattr(config, one.name)})}")


def wrapped(text: str, indent: int) -> list[str]:
    """The text in lines that fit the terminal beside an indent."""
    return textwrap.wrap(text.replace("``", "`"), max(shutil.get_terminal_size().columns - indent, 40))


def _yaml(values: Mapping[str, Any]) -> str:
    import yaml

    lines = []
    for key, value in values.items():
        plain = list(value) if isinstance(value, tuple) else value
        text = yaml.safe_dump(plain, sort_keys=False, default_flow_style=True, width=10_000)
        lines.append(f"{key}: " + text.removesuffix("...\n").strip())
    return "\n".join(lines)
