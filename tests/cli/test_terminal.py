"""How tables and figures are laid out."""

from __future__ import annotations

import json

from crossrec.cli.terminal import emit, shown, table


def test_figures_go_right_and_text_left():
    text = table(["name", "users"], [["toys", 7], ["games", 12_345]])
    assert text.splitlines() == ["name    users", "toys        7", "games  12,345"]


def test_a_wide_table_goes_on_below(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    head = ["", *(f"column{i}" for i in range(6))]
    text = table(head, [["label", *(f"{i}.12345" for i in range(6))]])
    assert max(map(len, text.splitlines())) <= 30
    assert all(f"{i}.12345" in text for i in range(6))
    assert text.count("label") == 3


def test_free_text_is_whole_where_nobody_watches(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert "a very long title indeed" in table(["k", "title"], [[1, "a very long title indeed"]], gives="title")


def test_free_text_is_shortened_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    text = table(["k", "title"], [["1234", "a very long title indeed"]], gives="title")
    assert text.splitlines()[1] == "1234  a very long t…"


def test_shown():
    assert [shown(value) for value in (None, float("nan"), True, 1234, 1234.56, 0.123456, 3.0, "x")] == [
        *("–", "–", "yes", "1,234", "1,235", "0.1235", "3", "x")
    ]


def test_emit_is_strict_json(capsys):
    emit({"a": float("nan"), "b": (1, 2), "c": {"d": float("inf")}, "e": "é"})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1, 2], "c": {"d": None}, "e": "é"}
