"""crossrec prepare, describe and simulate."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossrec.data.dataset import Dataset


@pytest.fixture
def small(tmp_path):
    """Two logs that can be counted by hand, with other column names."""
    folder = tmp_path / "small"
    folder.mkdir()
    toys = {"who": ["a", "a", "a", "b", "b"], "what": ["t1", "t2", "t1", "t1", "t3"], "when": [1, 2, 3, 4, 5]}
    games = {"who": ["a", "c", "c"], "what": ["g1", "g1", "g1"], "when": [1, 2, 2]}
    for name, log in (("toys", toys), ("games", games)):
        pq.write_table(pa.table(log), folder / f"{name}.parquet")
    return folder


NAMES = ("--user-column", "who", "--item-column", "what", "--time-column", "when")


def test_prepare_says_what_was_read_and_what_is_left(crossrec, small, tmp_path):
    told = crossrec("prepare", small, "--out", tmp_path / "out", *NAMES, "--json").json()
    assert (told["users"], told["interactions"]) == (3, 8)
    assert told["domains"] == {
        "games": {"users": 2, "items": 1, "interactions": 3},
        "toys": {"users": 2, "items": 3, "interactions": 5},
    }
    assert told["read"]["games"]["rows"] == 3
    assert told["read"]["games"]["duplicates"] == 1
    assert told["hash"] == Dataset.load(tmp_path / "out").hash


def test_prepare_for_people(crossrec, small, tmp_path):
    outcome = crossrec("prepare", small, "--out", tmp_path / "out", *NAMES, "--duplicates", "drop", "--overlap-only")
    assert outcome.code == 0
    assert "Duplicates (same user, item and time) were dropped." in outcome.out
    dropped = [line.split() for line in outcome.out.splitlines() if line.startswith("overlap_only")]
    assert dropped == [["overlap_only", "games", "1", "0", "1"], ["overlap_only", "toys", "1", "1", "2"]]
    assert outcome.out.splitlines()[-1].split() == ["toys", "1", "2", "3"]


def test_filters_reach_the_library(crossrec, small, tmp_path):
    words = ("--since", "2", "--until", "1970-01-02", "--user-core", "2", "--user-count", "total", "--core", "one-pass")
    told = crossrec("prepare", small, "--out", tmp_path / "out", *NAMES, *words, "--json").json()
    chosen = {"since": 2, "until": "1970-01-02", "user_core": 2, "user_count": "total", "core": "one-pass"}
    assert told["filters"][0]["set"] == chosen


def test_prepared_folder_can_be_filtered_again_but_not_read_anew(crossrec, small, tmp_path):
    crossrec("prepare", small, "--out", tmp_path / "out", *NAMES)
    told = crossrec("prepare", tmp_path / "out", "--out", tmp_path / "less", "--overlap-only", "--json").json()
    assert told["users"] == 1
    outcome = crossrec("prepare", tmp_path / "out", "--out", tmp_path / "more", "--order", "file")
    assert outcome.code == 2
    assert "is prepared" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--user-column", "whom"], "Did you mean 'who'?"),
        ([*NAMES, "--core", "twice"], "fixed-point"),
        ([*NAMES, "--domain", "toyz"], "Did you mean 'toys'?"),
        ([*NAMES, "--user-core", "50"], "Nothing is left"),
        ([*NAMES, "--duplicates", "burn"], "'keep' or 'drop'"),
    ],
)
def test_prepare_names_the_mend(crossrec, small, tmp_path, words, said):
    outcome = crossrec("prepare", small, "--out", tmp_path / "out", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert not (tmp_path / "out").exists()


def test_missing_folder(crossrec, tmp_path):
    outcome = crossrec("prepare", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "there is no such folder" in outcome.err


def test_describe_is_the_same_of_logs_and_of_what_was_prepared_from_them(crossrec, small, tmp_path):
    crossrec("prepare", small, "--out", tmp_path / "out", *NAMES)
    raw = crossrec("describe", small, *NAMES, "--json").json()
    prepared = crossrec("describe", tmp_path / "out", "--json").json()
    assert raw.pop("folder") != prepared.pop("folder")
    assert raw == prepared
    assert raw["domains"]["toys"]["users"] == 2
    assert raw["overlap"]["pairs"][0]["users"] == 1


def test_describe_for_people(crossrec, logs):
    outcome = crossrec("describe", logs, "--target", "toys")
    assert outcome.code == 0
    assert "Users that domains share" in outcome.out
    assert max(map(len, outcome.out.splitlines()[1:])) <= 80
    tested = next(line for line in outcome.out.splitlines() if line.startswith("test users")).split()
    assert tested[2] == "–"
    assert int(tested[3]) > 0


def test_describe_unknown_target(crossrec, logs):
    outcome = crossrec("describe", logs, "--target", "gamez")
    assert outcome.code == 2
    assert "Did you mean 'games'?" in outcome.err


def test_simulate(crossrec, tmp_path):
    words = ("--domains", "toys,games,books", "--users", 60, "--items", 60, "--interests", 4)
    told = crossrec(
        "simulate", "--out", tmp_path / "w", *words, "--transfer", "toys:games=0.8", "--seed", 7, "--json"
    ).json()
    assert told["simulated"] is True
    assert told["world"]["transfer"] == {"toys:games": 0.8}
    truth = json.loads((tmp_path / "w" / "truth" / "world.json").read_text())
    assert truth["world"] == told["world"]
    rows = {name: pq.read_metadata(tmp_path / "w" / f"{name}.parquet").num_rows for name in ("toys", "games", "books")}
    assert rows == told["interactions"]


def test_simulate_takes_a_number_of_domains(crossrec, tmp_path):
    words = ("--domains", 3, "--users", 60, "--items", 60, "--interests", 4, "--transfer", 0.8)
    outcome = crossrec("simulate", "--out", tmp_path / "w", *words)
    assert outcome.code == 0
    assert "Simulated by crossrec" in outcome.out
    assert len(list((tmp_path / "w").glob("*.parquet"))) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--transfer", "much"], "give one number for all, or one per pair"),
        (["--transfer", "2"], "between 0 and 1"),
        (["--domains", "toys,items"], "'items' cannot name a domain"),
        (["--resolution", "week"], "'second' or 'day'"),
    ],
)
def test_simulate_names_the_mend(crossrec, tmp_path, words, said):
    outcome = crossrec("simulate", "--out", tmp_path / "w", *words)
    assert outcome.code == 2
    assert said in outcome.err
