"""The command line as a whole: help, version, exit codes, tracebacks, what is imported when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "pyarrow", "numpy", "scipy", "polars", "pandas", "matplotlib")


def fresh(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a new process."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys, crossrec.cli\n"
        "try:\n    crossrec.cli.main(['--help'])\n"
        f"except SystemExit as left:\n    print(left.code, [name for name in {HEAVY} if name in sys.modules])"
    )
    done = fresh(code)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    words = "describe simulate prepare train evaluate compare recommend export report models samplers doctor"
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line.strip()]
    assert [name for name in words.split() if name not in listed] == []


def test_help_fits_eighty_columns(crossrec):
    for name in ("train", "prepare", "recommend", "simulate"):
        outcome = crossrec(name, "--help")
        assert outcome.code == 0
        assert max(map(len, outcome.out.splitlines())) <= 80


def test_every_command_is_said_in_one_line(crossrec):
    """No line of the list of commands is cut short."""
    from crossrec.cli.app import COMMANDS

    listed = crossrec("--help").out.partition("Commands:")[2]
    assert all(command.__name__.replace("_", "-") in listed for command in COMMANDS)
    assert "..." not in listed


def test_help_of_train_names_every_split(crossrec):
    from crossrec.data.splits import SPLITS

    told = " ".join(crossrec("train", "--help").out.split())
    assert [name for name in SPLITS if name not in told] == []


def test_version(crossrec):
    import crossrec as package

    assert crossrec("--version").out == f"crossrec {package.__version__}\n"


def test_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "crossrec", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:9]) == (0, "crossrec ")


@pytest.mark.parametrize("words", [["nonsense"], ["train"], ["evaluate", "a", "--nonsense"]])
def test_usage_errors_exit_with_2(crossrec, words):
    outcome = crossrec(*words, *(["--json"] if words == ["train"] else []))
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback" not in outcome.err


def test_bad_input_is_one_message(crossrec, tmp_path):
    outcome = crossrec("evaluate", tmp_path / "nowhere", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"Error: {tmp_path}/nowhere is not a run folder (there is no config.json).\n"


def test_debug_shows_the_traceback(crossrec, tmp_path, monkeypatch):
    assert "Traceback" in crossrec("evaluate", tmp_path, "--debug").err
    assert "Traceback" in crossrec("--debug", "evaluate", tmp_path).err
    monkeypatch.setenv("CROSSREC_DEBUG", "0")
    assert "Traceback" not in crossrec("evaluate", tmp_path).err
    monkeypatch.setenv("CROSSREC_DEBUG", "1")
    outcome = crossrec("evaluate", tmp_path)
    assert outcome.code == 2
    assert "Traceback" in outcome.err


def test_anything_else_exits_with_1(crossrec, prepared, monkeypatch):
    from crossrec.data.dataset import Dataset

    def broken(folder: Path) -> None:
        raise RuntimeError("the roof came down")

    monkeypatch.setattr(Dataset, "load", broken)
    outcome = crossrec("describe", prepared)
    assert (outcome.code, outcome.out) == (1, "")
    assert "RuntimeError: the roof came down" in outcome.err
    assert "Traceback" not in outcome.err


def test_only_the_first_of_several_processes_speaks(crossrec, run, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    outcome = crossrec("models")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    outcome = crossrec("evaluate", tmp_path)
    assert (outcome.code, outcome.out, outcome.err) == (2, "", "")
