"""``make demo`` runs to its end: every command of it is taken, and the page is written."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from pathlib import Path

import pytest

from crossrec.cli import main

ROOT = Path(__file__).parents[1]


@pytest.fixture
def demo(monkeypatch):
    """The example as a module, its commands run in this process."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*words):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        assert not left.value.code, f"crossrec {' '.join(map(str, words))}"
        return out.getvalue()

    monkeypatch.setattr(module, "run", run)
    return module


def test_demo_ends_with_a_report(demo, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["demo.py", "--out", str(tmp_path / "demo"), "--epochs", "1"])
    demo.main()
    told = capsys.readouterr().out
    assert "SIMULATED" in told
    assert "report.html" in told
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000


def test_demo_takes_logs_of_your_own(demo, monkeypatch, tmp_path):
    from crossrec.data.simulate import simulate
    from crossrec.data.worlds import World

    simulate(World(domains=["books", "films", "music"], users=150, items=300, interests=5)).write(tmp_path / "logs")
    words = ["--out", str(tmp_path / "demo"), "--data", str(tmp_path / "logs"), "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["demo.py", *words])
    demo.main()
    assert (tmp_path / "demo" / "report.html").is_file()
