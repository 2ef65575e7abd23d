"""The README does what it says: its blocks run as written, its tables name what there is, its links lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossrec.data.splits import SPLITS
from crossrec.models.table import MODELS
from crossrec.plugins.table import PLUGINS
from crossrec.samplers.table import SAMPLERS


@pytest.fixture(scope="module")
def readme(open_page):
    return open_page("README.md")


def targets(makefile: str) -> set[str]:
    return {line.partition(":")[0] for line in makefile.splitlines() if line[:1].isalpha() and ":" in line}


def test_every_block_runs(readme, tmp_path):
    readme.run(tmp_path)
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_two_commands_come_first_then_python_then_the_command_line(readme):
    blocks = list(readme.blocks())
    assert [block.language for block in blocks[:3]] == ["sh", "python", "sh"]
    assert blocks[0].makes == ("demo", "test")
    assert "crossrec recommend" in blocks[2].code


def test_its_make_targets_exist(readme):
    known = targets((readme.path.parent / "Makefile").read_text())
    made = [target for block in readme.blocks() for target in block.makes]
    assert made
    assert set(made) <= known


def test_the_quick_start_is_ten_lines(readme):
    block = next(block for block in readme.blocks() if block.language == "python")
    assert len([line for line in block.code.splitlines() if line]) <= 10


def test_it_names_every_model_sampler_and_split(readme):
    names = [*MODELS, *SAMPLERS, *PLUGINS, *SPLITS]
    assert [name for name in names if f"`{name}`" not in readme.text] == []


def test_its_links_lead_somewhere(readme):
    assert readme.broken_links() == []


def test_a_failing_block_fails_the_page(open_page, tmp_path):
    page = type(open_page("README.md"))(tmp_path / "page.md")
    for code in ("```sh\nfalse\ntrue\n```", "```python\nassert 1 == 2\n```", "```sh\nfalse | cat\n```"):
        page.path.write_text(f"# Page\n\n{code}\n")
        with pytest.raises(AssertionError, match="does not run as written"):
            page.run(tmp_path)
    page.path.write_text(
        "# Page\n\n```python\n# law.py\nx = 1\n```\n\n```python\nfrom law import x\n\nassert x == 1\n```\n"
    )
    page.run(tmp_path)
    assert Path(tmp_path / "law.py").read_text() == "# law.py\nx = 1\n"
