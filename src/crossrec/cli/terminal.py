"""How commands speak: figures on standard output, one JSON object there with ``--json``, all else on standard error."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

GAP = "  "
_FIGURE = re.compile(r"[+\-–<≥]?\s?[\d.,]*(e[+-]?\d+)?( ?%)?")


def speaks() -> bool:
    """Whether this process prints: of several under ``torchrun``, the first."""
    return os.environ.get("RANK", "0") == "0"


def note(text: str) -> None:
    """A line on standard error."""
    if speaks():
        print(text, file=sys.stderr, flush=True)


def warn(text: str, json: bool = True) -> None:
    """A line that cannot be missed, bold red on a terminal: on standard error, or output where that is for people."""
    if speaks():
        stream = sys.stderr if json else sys.stdout
        print(f"\033[1;31m{text}\033[0m" if stream.isatty() else text, file=stream)


def say(text: str = "") -> None:
    """A line on standard output."""
    if speaks():
        print(text)


def tell(text: str) -> None:
    """A sentence on standard output, broken between words on a terminal."""
    say("\n".join(textwrap.wrap(text, shutil.get_terminal_size().columns)) if sys.stdout.isatty() else text)


def emit(value: Mapping[str, Any]) -> None:
    """One JSON object on standard output; what is no finite number is null."""
    say(json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, gives: str | None = None, right: bool = False) -> str:
    """Aligned columns, figures to the right. No figure is ever cut.

    What is wider than the terminal goes on below, the first column repeated; or else the column ``gives`` (free text)
    is shortened, on a terminal only. ``right``: all columns but the first go to the right, figures or not.
    """
    columns = [[name, *(shown(row[i]) for row in rows)] for i, name in enumerate(head)]
    room = shutil.get_terminal_size().columns
    if gives is not None and sys.stdout.isatty():
        _shorten(columns, head.index(gives), room)
    aligned = [_aligned(column, right and at > 0) for at, column in enumerate(columns)]
    if gives is not None:
        return _block(aligned)
    blocks, block, used = [], [aligned[0]], len(aligned[0][0])
    for column in aligned[1:]:
        width = len(GAP) + len(column[0])
        if used + width > room and len(block) > 1:
            blocks.append(_block(block))
            block, used = [aligned[0]], len(aligned[0][0])
        block.append(column)
        used += width
    return "\n\n".join([*blocks, _block(block)])


def shown(value: Any) -> str:
    """A cell: whole numbers with separators, others as they are read best, a dash for nothing."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def facts(rows: Sequence[Sequence[Any]]) -> str:
    """Names and what there is to say of them, in two columns without a head."""
    width = max(len(str(name)) for name, _ in rows)
    return "\n".join(f"{name!s:<{width}}{GAP}{shown(value)}" for name, value in rows)


def _aligned(column: Sequence[str], right: bool = False) -> list[str]:
    width = max(map(len, column))
    right = right or (len(column) > 1 and all(_FIGURE.fullmatch(cell) for cell in column[1:]))
    return [cell.rjust(width) if right else cell.ljust(width) for cell in column]


def _shorten(columns: list[list[str]], at: int, room: int) -> None:
    others = sum(max(map(len, column)) + len(GAP) for i, column in enumerate(columns) if i != at)
    width = max(room - others, 8)
    columns[at] = [cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell in columns[at]]


def _block(columns: Sequence[Sequence[str]]) -> str:
    return "\n".join(GAP.join(cells).rstrip() for cells in zip(*columns, strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
