"""Pieces of one self-contained HTML page: nothing is loaded from anywhere, everything that comes in is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from crossrec.experiments.wording import figure as text_of

_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2329; --soft: #5b6670; --line: #d5dae0; --box: #f4f6f8;
  --warn: #fff3d6; --edge: #b97a00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --ink: #e4e8ec; --soft: #9aa5b0; --line: #343b42; --box: #1d2226; --warn: #382c10;
    --edge: #d69a2b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 54rem; padding: 1rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p, ul { margin: .5rem 0; }
ul { padding-left: 1.25rem; }
.soft, caption, summary { color: var(--soft); font-size: .9rem; }
.warning { background: var(--warn); border-left: 4px solid var(--edge); padding: .5rem .75rem; margin: 1rem 0; }
.short { background: var(--box); padding: .75rem 1rem; border-radius: .4rem; }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { padding: .2rem .75rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
td { min-width: 3rem; }
code { white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
figure { margin: 1.25rem 0; }
figure svg { display: block; width: 100%; max-width: 36rem; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif !important; }
summary { cursor: pointer; padding: .25rem 0; }
code { font-size: .85rem; }
"""


class Figure(str):
    """Text that a table sets as a number: flush right and on one line."""

    __slots__ = ()


class Code(str):
    """Text that a table shows as it is typed: a command, a hash."""

    __slots__ = ()


def page(title: str, body: Iterable[str]) -> str:
    """The whole document."""
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
    )
    return head + "\n".join(body) + "\n</main>\n</body>\n</html>\n"


def heading(text: str, level: int = 2) -> str:
    """A heading of the level 1, 2, ..."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; ``kind`` is its CSS class."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """A list, an item per line."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table that scrolls by itself where the screen is narrow; the first column names the row.

    Columns of numbers stand flush right.
    """
    numeric = [all(_is_number(row[at]) for row in rows) for at in range(len(head))]
    cells = "".join(f'<th scope="col"{_kind(numeric[at])}>{escape(name)}</th>' for at, name in enumerate(head))
    lines = []
    for row in rows:
        first, *rest = (_cell(value) for value in row)
        line = f'<th scope="row">{first}</th>'
        line += "".join(f"<td{_kind(numeric[at])}>{value}</td>" for at, value in enumerate(rest, 1))
        lines.append(f"<tr>{line}</tr>")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )


def plot(svg: str | None, alternative: str, figures: str) -> str:
    """A plot, what it shows in words, and its figures as a table: folded under it, open where there is no plot."""
    if svg is None:
        return f"<section>{figures}</section>"
    return (
        f'<figure><div role="img" aria-label="{escape(alternative)}">{svg}</div>'
        f'<figcaption class="soft">{escape(alternative)}</figcaption>'
        f"<details><summary>The figures as a table</summary>{figures}</details></figure>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, Code):
        return f"<code>{escape(value)}</code>"
    return escape(text_of(value))


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float | Figure) and not isinstance(value, bool))


def _kind(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
