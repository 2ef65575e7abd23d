"""Logs of every format, and frames, give the same dataset."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.columns import Columns
from crossrec.data.dataset import UNKNOWN_TIME, Dataset
from crossrec.data.log import Log

TOYS = {
    "user_id": ["ann", "bob", "ann", "cid", "ann"],
    "item_id": ["t1", "t2", "t2", "t1", "t3"],
    "timestamp": [100, 50, 300, 10, 300],
    "rating": [5.0, 3.0, 4.0, 1.0, 2.5],
}
GAMES = {
    "user_id": ["ann", "dee", "bob"],
    "item_id": ["g1", "g1", "g2"],
    "timestamp": [200, 7, 50],
    "rating": [1.0, 2.0, 3.0],
}
FRAMES = {"games": GAMES, "toys": TOYS}
EVENTS = {
    "ann": [("toys", "t1", 100), ("games", "g1", 200), ("toys", "t2", 300), ("toys", "t3", 300)],
    "bob": [("games", "g2", 50), ("toys", "t2", 50)],
    "cid": [("toys", "t1", 10)],
    "dee": [("games", "g1", 7)],
}


def events(data: Dataset) -> dict[str, list[tuple[str, str, int]]]:
    """Everything in a dataset, by own ids."""
    users = data.users.text.to_pylist()
    blocks = {name: data.catalogue.block(name) for name in data.domains}
    texts = {name: ids.text.to_pylist() for name, ids in data.items.items()}
    told: dict[str, list[tuple[str, str, int]]] = {user: [] for user in users}
    for u, user in enumerate(users):
        for e in range(int(data.offset_U1[u]), int(data.offset_U1[u + 1])):
            item = int(data.item_E[e])
            name = next(name for name, block in blocks.items() if item in block)
            time = UNKNOWN_TIME if data.time_E is None else int(data.time_E[e])
            told[user].append((name, texts[name][item - blocks[name].start], time))
    return told


def write(path: Path, columns: dict[str, list[Any]]) -> None:
    """A log in the format that its suffix names."""
    table = pa.table(columns)
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".parquet"):
        pq.write_table(table, path)
        return
    if name.endswith((".jsonl", ".ndjson")):
        rows = zip(*columns.values(), strict=True)
        text = "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows).encode()
    else:
        if name.endswith(".inter"):
            table = table.rename_columns([f"{column}:token" for column in columns])
        sink = pa.BufferOutputStream()
        options = pacsv.WriteOptions(delimiter="," if name.endswith(".csv") else "\t", quoting_style="none")
        pacsv.write_csv(table, sink, options)
        text = sink.getvalue().to_pybytes()
        text = text.replace(b'"', b"")
    packed = {".gz": gzip.compress, ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True)}
    path.write_bytes(packed.get(path.suffix, bytes)(text))


@pytest.mark.parametrize(
    "suffix",
    [
        f".{kind}{packed}"
        for kind in ("parquet", "csv", "tsv", "jsonl", "ndjson", "inter")
        for packed in (("",) if kind == "parquet" else ("", ".gz", ".zst"))
    ],
)
def test_every_format_gives_the_same_dataset(tmp_path: Path, suffix: str) -> None:
    for name, columns in FRAMES.items():
        write(tmp_path / f"{name}{suffix}", columns)
    data = Dataset.from_folder(tmp_path)
    assert events(data) == EVENTS
    assert data.domains == ("games", "toys")
    assert data.users.text.to_pylist() == ["ann", "dee", "bob", "cid"]
    assert data.rating_E is not None
    assert data.rating_E.tolist() == [5.0, 1.0, 4.0, 2.5, 2.0, 3.0, 3.0, 1.0]
    assert data.item_E.dtype == np.int32
    assert data.hash == Dataset.from_frames(FRAMES, time="timestamp", rating="rating").hash


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        pa.table,
        lambda columns: pa.RecordBatch.from_pydict(columns),
        lambda columns: pa.table(columns).to_reader(max_chunksize=2),
        lambda columns: pd.DataFrame(columns).astype({"user_id": "category"}),
        lambda columns: pl.DataFrame(columns).with_columns(pl.col("item_id").cast(pl.Categorical)),
        dict,
    ],
    ids=["pandas", "polars", "table", "batch", "reader", "pandas-category", "polars-categorical", "mapping"],
)
def test_every_frame_gives_the_same_dataset(make: Any) -> None:
    data = Dataset.from_frames({name: make(columns) for name, columns in FRAMES.items()}, time="timestamp")
    assert events(data) == EVENTS
    assert data.rating_E is None


def test_a_column_nobody_asked_for_cannot_fail() -> None:
    toys = pd.DataFrame({**TOYS, "mess": ["a", 1, None, [], 2.0]})
    assert Dataset.from_frames({"toys": toys}, time="timestamp").num_interactions == 5


def test_whole_numbers_leave_as_they_came() -> None:
    numbers = {"user_id": [30, 7, 30], "item_id": [2.0, 1.0, 2.0]}
    data = Dataset.from_frames({"toys": pa.table(numbers)})
    assert data.users.ids([0, 1]).equals(pa.array([30, 7]))
    assert data.items["toys"].ids([0, 1]).equals(pa.array([2, 1]))
    assert data.users.index([7, "30", 8]).tolist() == [1, 0, -1]


def test_ids_of_two_kinds_are_text() -> None:
    frames = {"a": pa.table({"user_id": [1], "item_id": ["x"]}), "b": pa.table({"user_id": ["1"], "item_id": ["y"]})}
    data = Dataset.from_frames(frames, order="file")
    assert data.num_users == 1
    assert data.users.ids([0]).to_pylist() == ["1"]


def test_column_names_and_domains_are_arguments(tmp_path: Path) -> None:
    renamed = {"who": TOYS["user_id"], "what": TOYS["item_id"], "when": TOYS["timestamp"]}
    write(tmp_path / "toys.csv", renamed)
    write(tmp_path / "games.csv", {"who": ["x"], "what": ["y"], "when": [1]})
    data = Dataset.from_folder(tmp_path, domains=["toys"], columns=Columns("who", "what", "when"))
    assert data.domains == ("toys",)
    assert data.num_interactions == 5


def test_domains_given_keep_their_order(tmp_path: Path) -> None:
    for name, columns in FRAMES.items():
        write(tmp_path / f"{name}.parquet", columns)
    assert Dataset.from_folder(tmp_path, domains=["toys", "games"]).domains == ("toys", "games")


def test_documents_are_no_domains_and_other_files_are_told(tmp_path: Path) -> None:
    write(tmp_path / "toys.csv", TOYS)
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "games.xlsx").write_bytes(b"PK")
    data = Dataset.from_folder(tmp_path)
    assert data.domains == ("toys",)
    assert [note for note in data.card["notes"] if "games.xlsx" in note]
    assert not [note for note in data.card["notes"] if "README" in note]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_titles(tmp_path: Path, suffix: str) -> None:
    for name, columns in FRAMES.items():
        write(tmp_path / f"{name}.csv", columns)
    items = {"item_id": ["g2", "t1", "zz"], "domain": ["games", "toys", "toys"], "title": ["Two", "One", "None such"]}
    write(tmp_path / f"items.{suffix}", items)
    titles = Dataset.from_folder(tmp_path).titles
    assert titles["games"].to_pydict() == {"title": [None, "Two"]}
    assert titles["toys"].to_pydict() == {"title": ["One", None, None]}


def test_an_id_in_two_domains_keeps_two_titles() -> None:
    frames = {"a": pa.table({"user_id": ["u"], "item_id": ["x"]}), "b": pa.table({"user_id": ["u"], "item_id": ["x"]})}
    items = pl.DataFrame({"item_id": ["x", "x"], "domain": ["a", "b"], "title": ["in a", "in b"]})
    data = Dataset.from_frames(frames, items=items, order="file")
    assert [data.titles[name]["title"].to_pylist() for name in "ab"] == [["in a"], ["in b"]]
    assert data.item_E.tolist() == [1, 2]
    assert [note for note in data.card["notes"] if "several domains" in note]


def test_ties_go_by_position_and_then_by_file_order() -> None:
    toys = {"user_id": ["u"] * 4, "item_id": list("abcd"), "timestamp": [5, 5, 5, 1], "position": [2, 0, 2, 9]}
    games = {"user_id": ["u"], "item_id": ["g"], "timestamp": [5], "position": [1]}
    data = Dataset.from_frames({"toys": toys, "games": games}, time="timestamp", position="position")
    assert [item for _, item, _ in events(data)["u"]] == ["d", "b", "g", "a", "c"]


def test_position_orders_where_a_domain_has_no_time() -> None:
    book = {"user_id": ["u", "u"], "item_id": ["b0", "b2"], "timestamp": [7, 9], "position": [0, 2]}
    music = {"user_id": ["u", "u"], "item_id": ["m3", "m1"], "position": [3, 1]}
    data = Dataset.from_frames({"book": book, "music": music}, time="timestamp", position="position")
    assert [item for _, item, _ in events(data)["u"]] == ["b0", "m1", "b2", "m3"]
    assert data.time_E is not None
    assert data.time_E.tolist() == [7, UNKNOWN_TIME, 9, UNKNOWN_TIME]
    assert data.card["order"] == "position"
    assert [note for note in data.card["notes"] if "music: no time" in note]


def test_file_order_puts_domains_one_after_another() -> None:
    data = Dataset.from_frames(FRAMES, time="timestamp", order="file")
    assert [item for _, item, _ in events(data)["ann"]] == ["g1", "t1", "t2", "t3"]


@pytest.mark.parametrize(
    "times",
    [
        [1_400_000_000, 1_400_000_000.5, 0],
        [1_400_000_000_000, 1_400_000_000_500, 0],
        [1_400_000_000_000_000, 1_400_000_000_500_000, 0],
        [1_400_000_000_000_000_000, 1_400_000_000_500_000_000, 0],
        ["2014-05-13T16:53:20", "2014-05-13T16:53:20.5", "1970-01-01"],
        ["2014-05-13T16:53:20Z", "2014-05-13T18:53:20.5+02:00", "1970-01-01T00:00:00Z"],
        [" 1400000000", "1400000000.5", "0"],
    ],
    ids=["seconds", "milliseconds", "microseconds", "nanoseconds", "iso", "zones", "text"],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_times_are_recognised_and_their_fractions_order(times: list[Any], backwards: bool) -> None:
    items = ["first", "second", "epoch"]
    if backwards:
        times, items = times[::-1], items[::-1]
    data = Dataset.from_frames({"toys": {"user_id": ["u"] * 3, "item_id": items, "t": times}}, time="t")
    assert events(data)["u"] == [
        ("toys", "epoch", 0),
        ("toys", "first", 1_400_000_000),
        ("toys", "second", 1_400_000_000),
    ]


@pytest.mark.parametrize(
    ("number", "seconds"),
    [(10**10 - 1, 10**10 - 1), (10**11, 10**8), (10**13 - 1, 10**10 - 1), (10**14, 10**8), (10**17, 10**8)],
)
def test_where_units_begin_and_end(number: int, seconds: int) -> None:
    data = Dataset.from_frames({"toys": {"user_id": ["u"], "item_id": ["i"], "t": [number]}}, time="t")
    assert data.time_E is not None
    assert data.time_E.tolist() == [seconds]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1_400_000_000_000]), "milliseconds"),
        (pa.array([1_400_000_000_000], pa.timestamp("ms")), "timestamp[ms]"),
        (pa.array([16203], pa.date32()), "date32"),
        (pa.array(["2014-05-13"]), "ISO dates"),
    ],
)
def test_what_is_recognised_is_said(column: pa.Array, said: str) -> None:
    data = Dataset.from_frames({"toys": {"user_id": ["u"], "item_id": ["i"], "t": column}}, time="t")
    assert data.time_E is not None
    assert data.time_E[0] // 86400 == 16203
    assert [note for note in data.card["notes"] if note.startswith("toys: ") and said in note]


def test_plain_seconds_need_no_note() -> None:
    assert Dataset.from_frames(FRAMES, time="timestamp").card["notes"] == []


def test_duplicate_rows_are_counted_and_dropped_when_asked() -> None:
    toys = {"user_id": list("uuuuv"), "item_id": list("aabaa"), "timestamp": [1, 1, 1, 2, 1]}
    kept = Dataset.from_frames({"toys": toys}, time="timestamp")
    dropped = Dataset.from_frames({"toys": toys}, time="timestamp", duplicates="drop")
    assert [data.card["domains"]["toys"]["duplicates"] for data in (kept, dropped)] == [1, 1]
    assert events(kept)["u"] == [("toys", "a", 1), ("toys", "a", 1), ("toys", "b", 1), ("toys", "a", 2)]
    assert events(dropped)["u"] == [("toys", "a", 1), ("toys", "b", 1), ("toys", "a", 2)]
    assert events(dropped)["v"] == [("toys", "a", 1)]


def test_a_missing_rating_is_kept_and_told(tmp_path: Path) -> None:
    (tmp_path / "toys.csv").write_text("user_id,item_id,rating\nu,a,\nu,b,4\n")
    data = Dataset.from_folder(tmp_path)
    assert data.rating_E is not None
    np.testing.assert_array_equal(data.rating_E, np.array([np.nan, 4], np.float32))
    assert "toys: 1 rows have no rating; they are kept without" in data.card["notes"]


def test_quoted_cells_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    (tmp_path / "toys.csv").write_text('user_id,item_id\n"a,b","x\ny"\n')
    assert events(Dataset.from_folder(tmp_path)) == {"a,b": [("toys", "x\ny", UNKNOWN_TIME)]}


def test_a_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    (tmp_path / "toys.csv").write_bytes(b"\xef\xbb\xbfuser_id,item_id\r\nu,a\r\n\r\nu,b\r\n")
    assert [item for _, item, _ in events(Dataset.from_folder(tmp_path))["u"]] == ["a", "b"]


def test_quotes_in_inter_files_are_text(tmp_path: Path) -> None:
    (tmp_path / "toys.inter").write_text('user_id:token\titem_id:token\ttimestamp:float\nu\t"a\t1.0\n')
    assert events(Dataset.from_folder(tmp_path)) == {"u": [("toys", '"a', 1)]}


rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=40
)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_packing_equals_sorting_rows(logs: list[Any], with_position: bool, drop: bool) -> None:
    frames, plain = {}, []
    for d, log in enumerate(logs):
        columns = [list(column) for column in zip(*log, strict=True)]
        frames[f"d{d}"] = pa.table(dict(zip(("user_id", "item_id", "timestamp", "position"), columns, strict=True)))
        plain += [
            (str(user), (time, place if with_position else 0), (f"d{d}", str(item), time))
            for user, item, time, place in log
        ]
    expected: dict[str, list[Any]] = {}
    for user, _, event in sorted(plain, key=lambda row: row[1]):
        if not drop or event not in expected.get(user, []):
            expected.setdefault(user, []).append(event)
    data = Dataset.from_frames(
        frames, time="timestamp", position="position" if with_position else None, duplicates="drop" if drop else "keep"
    )
    assert events(data) == expected
    assert data.users.text.to_pylist() == list(dict.fromkeys(user for user, _, _ in plain))


def test_many_batches_are_numbered_as_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    log = {
        "user_id": [f"u{n}" for n in draw.integers(300, size=5000)],
        "item_id": [f"i{n}" for n in draw.integers(99, size=5000)],
    }
    pq.write_table(pa.table(log), tmp_path / "toys.parquet", row_group_size=700)
    whole = Dataset.from_folder(tmp_path)
    for module, name, size in (("source", "BATCH_ROWS", 128), ("coding", "_WAITING", 10), ("sorting", "CHUNK", 64)):
        monkeypatch.setattr(f"crossrec.data.{module}.{name}", size)
    parts = Dataset.from_folder(tmp_path)
    assert whole.users.text.to_pylist() == list(dict.fromkeys(log["user_id"]))
    assert whole.items["toys"].text.to_pylist() == list(dict.fromkeys(log["item_id"]))
    assert parts.hash == whole.hash


def test_a_log_of_unknown_length_grows() -> None:
    log = Log()
    for first in range(3):
        log._add({"user": np.arange(first, first + 5, dtype=np.int32), "item": np.zeros(5, np.int32)}, 5)
    assert log.take("user").tolist() == [*range(5), *range(1, 6), *range(2, 7)]


def test_reading_imports_no_dataframe_library(tmp_path: Path) -> None:
    import subprocess
    import sys

    for name, columns in FRAMES.items():
        write(tmp_path / f"{name}.parquet", columns)
    code = (
        "import sys; from crossrec.data.dataset import Dataset; "
        f"d = Dataset.from_folder({str(tmp_path)!r}); d.save({str(tmp_path / 'out')!r}); "
        f"e = Dataset.load({str(tmp_path / 'out')!r}); e.users.ids(e.users.index(['ann'])); "
        "print([m for m in ('pandas', 'polars', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.real
def test_real_logs(real_data: Path) -> None:
    toys = Dataset.from_folder(real_data / "amazon-toy-game")
    assert (toys.num_users, dict(toys.catalogue.sizes)) == (7996, {"games": 11735, "toys": 37868})
    assert {name: int(count.sum()) for name, count in toys.counts().items()} == {"games": 82871, "toys": 114487}
    assert toys.time_E is not None
    inside = np.ones(toys.num_interactions, bool)
    inside[toys.offset_U1[:-1]] = False
    assert (np.diff(toys.time_E)[inside[1:]] >= 0).all()
    douban = Dataset.from_folder(real_data / "douban-book-music")
    assert (douban.num_users, douban.num_interactions, douban.card["order"]) == (12170, 1072367, "position")
