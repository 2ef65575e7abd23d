"""Simulated logs as tables and as a folder: what is in them, the same every time, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.dataset import Dataset
from crossrec.data.simulate import Simulated, shuffle_domain, simulate
from crossrec.data.worlds import World
from crossrec.errors import DataError, InputError

SMALL = World(users=200, items=100, events=6, interests=8, transfer=0.7, outliers=0.1, seed=3)


@pytest.fixture(scope="module")
def small() -> Simulated:
    return simulate(SMALL)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_tables_have_the_columns_of_a_data_folder(small: Simulated) -> None:
    for name, table in small.tables.items():
        assert table.schema.names == ["user_id", "item_id", "timestamp", "rating"]
        assert table.schema.types == [pa.string(), pa.string(), pa.int64(), pa.int8()]
        assert table.column("user_id")[0].as_py()[0] == "u"
        assert len(table.column("user_id")[0].as_py()) == len("u000123")
        assert pc.all(pc.match_substring_regex(table["item_id"], f"^{name}-[0-9]{{5}}$")).as_py()
        assert (np.diff(table["timestamp"].to_numpy()) >= 0).all()
        assert not any(column.null_count for column in table.columns)


def test_items_are_named_after_their_interest(small: Simulated) -> None:
    assert small.items.num_rows == small.true_items.num_rows == 200
    row, truth = small.items.slice(142, 1).to_pylist()[0], small.true_items.slice(142, 1).to_pylist()[0]
    interest = truth["interest"]
    assert row == {
        "item_id": "games-00042",
        "domain": "games",
        "title": f"Games 42 (interest {interest})",
        "category": f"interest {interest}",
    }
    assert truth["item_id"] == "games-00042"
    assert 0 < truth["weight"] < 1


def test_the_folder_holds_logs_and_truth(small: Simulated, tmp_path: Path) -> None:
    folder = small.write(tmp_path / "new" / "world")
    assert list(files(folder)) == [
        "games.parquet",
        "items.parquet",
        "toys.parquet",
        "truth/items.parquet",
        "truth/users.parquet",
        "truth/world.json",
    ]
    assert pq.read_table(folder / "toys.parquet").equals(small.tables["toys"])
    users = pq.read_table(folder / "truth" / "users.parquet")
    assert users.num_rows == 200
    assert len(users["interests_toys"][0]) == 8
    assert users["outlier_domain"].null_count == 200 - pc.sum(users["outlier"]).as_py()
    facts = json.loads((folder / "truth" / "world.json").read_text())
    assert facts["simulated"] is True
    assert "No real person" in facts["note"]
    assert facts["interactions"] == {name: table.num_rows for name, table in small.tables.items()}
    again = simulate(World(**facts["world"]))
    assert all(again.tables[name].equals(small.tables[name]) for name in ("toys", "games"))


def test_the_folder_is_read_as_any_other(small: Simulated, tmp_path: Path) -> None:
    data = Dataset.from_folder(small.write(tmp_path / "world"))
    assert data.domains == ("games", "toys")
    assert data.num_users == 200
    assert data.num_interactions == sum(table.num_rows for table in small.tables.values())
    assert data.titles["toys"]["title"][0].as_py().startswith("Toys ")


def test_equal_worlds_give_equal_bytes(small: Simulated, tmp_path: Path) -> None:
    state = np.random.get_state()[1].tolist()  # noqa: NPY002 - the global generator must be as it was
    first = files(small.write(tmp_path / "a"))
    assert files(simulate(SMALL).write(tmp_path / "b")) == first
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002 - as above
    other = simulate(World(**{**SMALL.parameters(), "seed": 4}))
    assert not other.tables["toys"].equals(small.tables["toys"])


def test_worlds_that_differ_in_transfer_share_the_rest(small: Simulated) -> None:
    other = simulate(World(**{**SMALL.parameters(), "transfer": 0.0}))
    assert other.true_items.equals(small.true_items)
    for name, table in small.tables.items():
        assert other.tables[name].select(["user_id", "timestamp"]).equals(table.select(["user_id", "timestamp"]))
        assert not other.tables[name]["item_id"].equals(table["item_id"])


def test_an_earlier_world_is_replaced_and_nothing_else(small: Simulated, tmp_path: Path) -> None:
    folder = tmp_path / "world"
    folder.mkdir()
    small.write(folder)
    simulate(World(domains=["a", "b"], users=50, items=100, interests=5)).write(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a.parquet", "b.parquet", "items.parquet", "truth"]
    other = tmp_path / "mine"
    other.mkdir()
    (other / "toys.csv").write_text("user_id,item_id\n")
    with pytest.raises(DataError, match="something else at this place"):
        small.write(other)
    assert list(files(other)) == ["toys.csv"]


def test_a_write_that_fails_leaves_nothing(small: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(table: pa.Table, path: Path, **options: Any) -> None:
        if path.name == "users.parquet":
            raise OSError(28, "No space left on device", str(path))
        path.write_bytes(b"half")

    monkeypatch.setattr("crossrec.data.simulate.pq.write_table", full)
    with pytest.raises(DataError, match="disk is full"):
        small.write(tmp_path / "world")
    assert list(tmp_path.iterdir()) == []


def test_shuffling_keeps_all_that_the_domain_says_of_itself(small: Simulated) -> None:
    shuffled = shuffle_domain(small.tables, "games", 5)
    assert shuffled["toys"] is small.tables["toys"]
    before, after = small.tables["games"], shuffled["games"]
    assert after.schema == before.schema
    assert after.drop(["user_id"]).equals(before.drop(["user_id"]))
    pairs = pa.table({"old": before["user_id"], "new": after["user_id"]}).group_by(["old", "new"]).aggregate([])
    assert pairs.num_rows == len(pc.unique(before["user_id"])) == len(pc.unique(after["user_id"]))
    assert set(pairs["old"].to_pylist()) == set(pairs["new"].to_pylist())
    assert not any(row["old"] == row["new"] for row in pairs.to_pylist())


def test_shuffling_is_told_by_its_seed(small: Simulated) -> None:
    one, same, two = (shuffle_domain(small.tables, "toys", seed)["toys"] for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(two)
    with pytest.raises(InputError, match=r"no domain 'toy' to shuffle. Did you mean 'toys'"):
        shuffle_domain(small.tables, "toy", 1)


def test_shuffling_takes_any_table_of_users() -> None:
    chunked = pa.chunked_array([pa.array([1, 2]), pa.array([1, 3])])
    tables = {"a": pa.table({"other": [0, 1, 2, 3], "user_id": chunked}), "b": pa.table({"user_id": ["x"]})}
    users = shuffle_domain(tables, "a", 0)["a"]["user_id"].to_pylist()
    assert users[0] == users[2]
    assert sorted({users[0], users[1], users[3]}) == [1, 2, 3]
    assert shuffle_domain(tables, "b", 0)["b"]["user_id"].to_pylist() == ["x"]


@settings(max_examples=25, deadline=None)
@given(
    domains=st.integers(1, 4),
    users=st.integers(8, 60),
    events=st.floats(3, 12),
    overlap=st.sampled_from([0.0, 0.5, 1.0]),
    transfer=st.floats(0, 1),
    interests=st.integers(2, 6),
    tail=st.floats(0, 1),
    drift=st.floats(0, 1),
    outliers=st.floats(0, 1),
    sequence=st.floats(0, 0.95),
    seed=st.integers(0, 2**40),
)
def test_any_world_is_sound(**parameters: Any) -> None:
    made = simulate(World(items=40, **parameters))
    for name, table in made.tables.items():
        log = table.sort_by([("user_id", "ascending"), ("timestamp", "ascending")])
        counts = pc.value_counts(log["user_id"]).field("counts").to_numpy()
        assert counts.min() >= 3
        assert len(counts) == pc.sum(made.true_users[f"present_{name}"]).as_py() > 0
        assert pc.all(pc.is_in(log["item_id"], made.items["item_id"])).as_py()
        assert pc.min(log["rating"]).as_py() >= 1
        assert pc.max(log["rating"]).as_py() <= 5
        mixture_UC = np.stack(made.true_users[f"interests_{name}"].to_numpy())
        assert np.isfinite(mixture_UC).all()
        np.testing.assert_allclose(mixture_UC.sum(1), 1, rtol=1e-4)
