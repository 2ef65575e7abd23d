"""``crossrec doctor``: is everything there that crossrec needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from crossrec.cli import options
from crossrec.cli.terminal import emit, facts, note, say


def doctor(json: options.Json = False) -> None:
    """Say what this installation has, and lacks."""
    from crossrec.doctor import examine

    found = examine(Path.cwd())
    if json:
        emit(found)
    else:
        _print(found)
    for problem in found["problems"]:
        note(f"Problem: {problem}.")
    if found["problems"]:
        raise typer.Exit(1)


def _print(found: dict[str, Any]) -> None:
    from crossrec.doctor import DATA, OPTIONAL

    rows = [
        ["crossrec", found["crossrec"] or "not installed"],
        ["commit", found["commit"] or "none (not a checkout)"],
        ["python", found["python"]],
        ["platform", found["platform"]],
        *([name, version or "MISSING"] for name, version in found["required"].items()),
        *(
            [name, version or f"not there (optional: pip install 'crossrec[{OPTIONAL[name]}]')"]
            for name, version in found["optional"].items()
        ),
        ["torch threads", f"{found['threads']} of {found['cores']} cores"],
        ["CUDA", ", ".join(found["cuda"]) or "none"],
        ["real logs", found["data"] or f"not found ({DATA} names their folder)"],
        ["folder", f"{found['folder']} ({'can' if found['writable'] else 'CANNOT'} be written)"],
    ]
    say(facts(rows))
    say("\nAll that is required is there." if not found["problems"] else "\nSomething required is missing:")
