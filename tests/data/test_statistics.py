"""The figures that ``describe`` gives."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.statistics import describe
from crossrec.errors import DataError

DAY = 86400


@pytest.fixture
def data() -> Dataset:
    toys = {
        "user_id": list("uuuuvvvw"),
        "item_id": list("abadaeez"),
        "timestamp": [n * DAY for n in (1, 2, 2, 3, 1, 2, 3, 4)],
    }
    games = {"user_id": list("uux"), "item_id": list("agg"), "timestamp": [5 * DAY, 6 * DAY, 7 * DAY]}
    books = {"user_id": list("uy"), "item_id": list("ak"), "timestamp": [0, 0]}
    return Dataset.from_frames({"toys": toys, "games": games, "books": books}, time="timestamp")


def test_figures_of_a_domain(data: Dataset) -> None:
    toys = describe(data)["domains"]["toys"]
    assert (toys["users"], toys["items"], toys["interactions"]) == (3, 5, 8)
    assert toys["density"] == 8 / 15
    assert toys["history"] == {"min": 1, "median": 3.0, "mean": 8 / 3, "p95": 3.9, "max": 4}
    assert toys["time"] == {"from": "1970-01-02", "to": "1970-01-05"}
    assert toys["repeated"] == 2
    assert toys["ties"] == 1 / 5
    assert toys["duplicates"] == 0


def test_overlap(data: Dataset) -> None:
    overlap = describe(data)["overlap"]
    assert overlap["pairs"][0] == {"domains": ["toys", "games"], "users": 1, "share": {"toys": 1 / 3, "games": 1 / 2}}
    assert len(overlap["pairs"]) == 3
    assert (overlap["every"], overlap["several"], overlap["one"]) == (1, 1, 4)


def test_item_ids_of_several_domains(data: Dataset) -> None:
    shared = describe(data)["shared_items"]
    assert shared["items"] == 1
    assert {tuple(pair["domains"]): pair["items"] for pair in shared["pairs"]} == {
        ("toys", "games"): 1,
        ("toys", "books"): 1,
        ("games", "books"): 1,
    }


def test_dry_runs_drop_nothing(data: Dataset) -> None:
    table = {row["name"]: row for row in describe(data)["filters"]}
    every = table["users of every domain"]
    assert every["left"]["toys"] == {"users": 1, "items": 3, "interactions": 4}
    assert every["dropped"]["toys"] == {"users": 2, "items": 2, "interactions": 4}
    assert table["no repeats"]["dropped"]["games"]["interactions"] == 0
    assert table["10-core"]["left"]["toys"] == {"users": 0, "items": 0, "interactions": 0}
    assert data.num_interactions == 13


def test_held_out_items_unseen_in_training(data: Dataset) -> None:
    held_out = describe(data)["held_out"]
    assert held_out["toys"] == {"users": 2, "unseen": 1.0}
    assert held_out["games"] == {"users": 0, "unseen": None}
    assert list(describe(data, target="toys")["held_out"]) == ["toys"]
    with pytest.raises(DataError, match="Did you mean 'toys'"):
        describe(data, target="toyz")


def test_a_domain_without_times() -> None:
    data = Dataset.from_frames({"toys": pa.table({"user_id": ["u"], "item_id": ["a"]})})
    toys = describe(data)["domains"]["toys"]
    assert toys["time"] is None
    assert toys["ties"] is None
    assert describe(data)["overlap"] == {"pairs": [], "every": 1, "several": 0, "one": 1}


def test_the_same_after_loading_and_as_json(data: Dataset, tmp_path: Path) -> None:
    data.save(tmp_path / "out")
    assert json.loads(json.dumps(describe(data))) == describe(Dataset.load(tmp_path / "out"))


@pytest.mark.real
def test_toys_and_games(real_data: Path) -> None:
    told = describe(Dataset.from_folder(real_data / "amazon-toy-game"))
    toys, games = told["domains"]["toys"], told["domains"]["games"]
    assert told["users"] == 7996
    assert (toys["items"], games["items"]) == (37868, 11735)
    assert (toys["interactions"], games["interactions"]) == (114487, 82871)
    assert (toys["repeated"], games["repeated"]) == (3651, 3700)
    assert toys["ties"] == pytest.approx(0.48, abs=0.005)
    assert told["held_out"]["toys"]["unseen"] == pytest.approx(0.280, abs=0.005)
    assert told["held_out"]["games"]["unseen"] == pytest.approx(0.084, abs=0.005)
    assert told["overlap"]["every"] == 7996
    assert toys["time"] == {"from": "2000-11-20", "to": "2018-09-27"}
    assert games["history"]["max"] == 615
