"""Fixtures that many tests share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Tests run side by side: threads that wait for each other cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
PRELUDE = (
    "import pathlib as _p, subprocess as _s; "
    "_sh = lambda code: _s.run(['bash', '-eo', 'pipefail', '-c', code], check=True); "
    "_save = lambda name, code: _p.Path(name).write_text(code)"
)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real logs; tests that need it skip, saying so, where it is absent."""
    folder = Path(os.environ.get("CROSSREC_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real logs at {folder} (CROSSREC_DATA names another place)")
    return folder


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    line: int
    """Number of the fence's line, from 0."""
    code: str
    reason: str | None
    """Why it is not run: the text of ``<!-- not run: ... -->`` just above it."""

    @property
    def makes(self) -> tuple[str, ...]:
        """The Makefile targets of a block that does nothing but call make."""
        words = [line.partition("#")[0].split() for line in self.code.splitlines()]
        called = [line for line in words if line]
        return tuple(line[1] for line in called) if all(line[0] == "make" for line in called) else ()

    @property
    def file(self) -> str | None:
        """The file that a Python block is to be saved as: its first line is a comment with the name."""
        named = re.match(r"# (\w+\.py)\n", self.code)
        return named[1] if self.language == "python" and named else None


@dataclass(frozen=True)
class Page:
    """A Markdown page whose blocks a reader types one after the other, in one folder and one Python session."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self) -> Iterator[Block]:
        """Every fenced block, in order."""
        lines = self.text.splitlines()
        begin: int | None = None
        for number, line in enumerate(lines):
            if not line.startswith("```"):
                continue
            if begin is None:
                begin = number
                continue
            above = re.fullmatch(r"<!-- not run: (.*) -->", lines[begin - 1])
            code = "\n".join(lines[begin + 1 : number]) + "\n"
            yield Block(lines[begin][3:].strip(), begin, code, above and above[1].strip())
            begin = None
        assert begin is None, f"{self.path.name}: a fence is not closed"

    def script(self) -> str:
        """The page as one Python program in which every line keeps its number."""
        lines = [""] * len(self.text.splitlines())
        lines[0] = PRELUDE
        for block in self.blocks():
            if block.reason is not None or block.makes:
                continue
            if block.language == "sh":
                lines[block.line] = f"_sh({block.code!r})"
            elif block.file is not None:
                lines[block.line] = f"_save({block.file!r}, {block.code!r})"
            elif block.language == "python":
                code = block.code.splitlines()
                lines[block.line + 1 : block.line + 1 + len(code)] = code
        return "\n".join(lines) + "\n"

    def run(self, folder: Path) -> None:
        """Run every block in a folder; a failing one fails the test and says where it stands."""
        script = folder / f"{self.path.name}.py"
        script.write_text(self.script(), encoding="utf-8")
        bin_folder = str(Path(sys.executable).parent)
        env = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            [sys.executable, script], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{self.path.name} does not run as written:\n{done.stdout}\n{done.stderr}"

    def broken_links(self) -> list[str]:
        """Relative links to what is not there: a file, or a heading of it."""
        prose = re.sub(r"^```.*?^```", "", self.text, flags=re.MULTILINE | re.DOTALL)
        return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not self._leads(link)]

    def _leads(self, link: str) -> bool:
        if link.startswith(("http://", "https://", "mailto:")):
            return True
        name, _, heading = link.partition("#")
        path = self.path.parent / name if name else self.path
        return path.exists() and (not heading or heading in _anchors(path))


def _anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.fixture(scope="session")
def open_page() -> Callable[[str], Page]:
    """``open_page("docs/data.md")``: a page of this repository."""
    return lambda name: Page(ROOT / name)
