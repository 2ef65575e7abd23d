"""The pages under docs/ do what they say: blocks run as written, commands and options are all there, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

import crossrec
from crossrec.cli.app import app
from crossrec.data.splits import SPLITS
from crossrec.models.table import MODELS
from crossrec.plugins.table import PLUGINS
from crossrec.samplers.table import SAMPLERS

ROOT = Path(__file__).parents[1]
PAGES = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
PROSE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md")
SPOKEN = {"sh", "python", "text", "json", "bibtex"}
"""Languages of blocks; those of the last three are not run."""


@pytest.mark.parametrize("name", PAGES)
def test_every_block_runs(open_page, name, tmp_path):
    open_page(name).run(tmp_path)


@pytest.mark.parametrize("name", [*PAGES, *PROSE])
def test_every_block_says_what_it_is(open_page, name):
    blocks = list(open_page(name).blocks())
    assert {block.language for block in blocks} <= SPOKEN
    assert all(len(block.reason.split()) > 2 for block in blocks if block.reason is not None), "a reason is a sentence"


@pytest.mark.parametrize("name", [*PAGES, *PROSE])
def test_links_lead_somewhere(open_page, name):
    assert open_page(name).broken_links() == []


@pytest.mark.parametrize("name", [*PAGES, *PROSE])
def test_names_of_the_package_exist(open_page, name):
    said = set(re.findall(r"\bcr\.(\w+)", open_page(name).text)) - {"Name"}
    assert said <= set(crossrec.__all__)


def test_make_targets_of_the_pages_exist(open_page):
    makefile = (ROOT / "Makefile").read_text()
    for name in [*PAGES, *PROSE]:
        for target in re.findall(r"\bmake ([a-z]+)(?=[`\n ])", "\n".join(_typed(open_page(name)))):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"{name}: make {target}"


def _typed(page):
    """What a reader would type: code blocks and code in sentences."""
    yield from (block.code for block in page.blocks())
    yield from (f"{code} " for code in re.findall(r"`([^`\n]+)`", page.text))


def test_cli_page_has_every_command_with_all_its_options(open_page):
    sections = dict(
        re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", open_page("docs/cli.md").text, re.MULTILINE | re.DOTALL)
    )
    general = open_page("docs/cli.md").text.partition("\n## ")[0]
    commands = typer.main.get_command(app).commands
    assert sections.keys() == commands.keys()
    for name, command in commands.items():
        there = sections[name] + general + (sections["describe"] if name == "prepare" else "")
        options = [option for each in command.params for option in each.opts if option.startswith("-")]
        missing = [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", there)]
        assert missing == [], f"docs/cli.md, {name}"


def test_cli_page_names_no_option_that_does_not_exist(open_page):
    commands = typer.main.get_command(app)
    known = {
        option for command in [commands, *commands.commands.values()] for each in command.params for option in each.opts
    }
    for name in PAGES:
        text = re.sub(
            r"^(torchrun|tensorboard|\.venv/bin/python|python) .*$", "", open_page(name).text, flags=re.MULTILINE
        )
        said = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--help"}
        assert said <= known, name


def test_the_docs_name_every_model_sampler_and_split(open_page):
    everything = "\n".join(open_page(name).text for name in PAGES)
    assert [name for name in [*MODELS, *SAMPLERS, *PLUGINS, *SPLITS] if f"`{name}`" not in everything] == []


def test_every_field_of_a_run_folder_is_explained(open_page):
    from crossrec import runs

    told = open_page("docs/concepts.md").text
    names = (runs.CONFIG, runs.INFO, runs.METRICS, runs.WEIGHTS, f"{runs.DATA}/", f"{runs.RESULTS}/", "checkpoint/")
    assert [name for name in names if f"`{name}" not in told] == []
