"""Every kind of bad input: one clear message that names file, row, column, what was found and the mend."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossrec.data.checks import require_domains, require_overlap
from crossrec.data.columns import Columns
from crossrec.data.dataset import Dataset
from crossrec.errors import DataError, InputError

GOOD = "user_id,item_id,timestamp\nu1,a,5\n"


def refused(folder: Path, *said: str, columns: Columns | None = None, order: str = "time") -> str:
    """The message that a folder is refused with, once it says all this."""
    with pytest.raises(DataError) as error:
        Dataset.from_folder(folder, columns=columns, order=order)
    message = str(error.value)
    for words in said:
        assert words in message
    assert "\n" not in message
    return message


def csv(folder: Path, text: str, name: str = "toys.csv") -> Path:
    (folder / name).write_text(text)
    return folder


def test_missing_column(tmp_path: Path) -> None:
    csv(tmp_path, "user,item_id\nu,a\n")
    refused(tmp_path, "toys.csv", "'user_id'", "Columns found: user, item_id", "Did you mean 'user'?", "user=...")


def test_a_file_of_another_kind_has_a_short_message(tmp_path: Path) -> None:
    (tmp_path / "toys.csv").write_bytes(bytes(range(256)) * 4000)
    assert len(refused(tmp_path, "toys.csv")) < 1500


def test_missing_header(tmp_path: Path) -> None:
    csv(tmp_path, "1,34,978300760\n2,35,978300761\n")
    refused(
        tmp_path, "toys.csv", "Columns found: 1, 34, 978300760", "the first line of a text file holds the column names"
    )


def test_a_chosen_column_that_no_domain_has(tmp_path: Path) -> None:
    csv(tmp_path, "user_id,item_id,time_stamp\nu,a,1\n")
    refused(tmp_path, "'times'", "Did you mean 'time_stamp'?", columns=Columns(time="times"))


def test_a_column_twice(tmp_path: Path) -> None:
    csv(tmp_path, "user_id,item_id,item_id\nu,a,b\n")
    refused(tmp_path, "toys.csv", "'item_id'", "more than once")


@pytest.mark.parametrize("name", ["toys.csv", "toys.jsonl", "toys.parquet", "toys.inter", "toys.csv.gz"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")
    refused(tmp_path, name, "is empty")


def test_no_row(tmp_path: Path) -> None:
    csv(tmp_path, "user_id,item_id\n")
    refused(tmp_path, "toys.csv", "no row")
    (tmp_path / "toys.csv").unlink()
    pq.write_table(
        pa.table({"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())}),
        tmp_path / "toys.parquet",
    )
    refused(tmp_path, "toys.parquet", "no row")


@pytest.mark.parametrize("name", ["toys.parquet", "toys.csv.gz", "toys.csv.zst", "toys.jsonl.gz"])
def test_unreadable_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"this is something else entirely")
    refused(tmp_path, name, "cannot be read", "Write it again")


def test_truncated_file(tmp_path: Path) -> None:
    whole = gzip.compress(("user_id,item_id\n" + "".join(f"u{n},{n * 7919 % 10007}\n" for n in range(5000))).encode())
    (tmp_path / "toys.csv.gz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "toys.csv.gz", "cannot be read")


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "toys.csv").write_bytes(b"user_id,item_id\nu,caf\xe9\n")
    refused(tmp_path, "toys.csv", "cannot be read", "UTF8")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_closed_file(tmp_path: Path) -> None:
    csv(tmp_path, GOOD)
    (tmp_path / "toys.csv").chmod(0)
    refused(tmp_path, "toys.csv", "cannot be read")


def test_null_id(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": ["u", None], "item_id": ["a", "b"]}), tmp_path / "toys.parquet")
    refused(tmp_path, "toys.parquet", "row 2", "'user_id'", "null", "remove such rows")


@pytest.mark.parametrize("blank", ["", "   "])
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_blank_id(tmp_path: Path, blank: str, column: str) -> None:
    row = f"{blank},b" if column == "user_id" else f"u,{blank}"
    csv(tmp_path, f"user_id,item_id\nu,a\nv,b\n{row}\nu,a\n")
    refused(tmp_path, "toys.csv", "row 3 (line 4)", repr(column), repr(blank), "A blank is no id")


def test_blank_id_far_into_a_parquet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec.data.source.BATCH_ROWS", 16)
    users = [f"u{n % 7}" for n in range(100)]
    users[77] = ""
    pq.write_table(pa.table({"user_id": users, "item_id": users[:1] * 100}), tmp_path / "toys.parquet")
    refused(tmp_path, "toys.parquet", "row 78,", "A blank is no id")


def test_ids_of_another_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": [1.0, 2.5], "item_id": ["a", "b"]}), tmp_path / "toys.parquet")
    refused(tmp_path, "row 2", "'user_id'", "2.5", "Ids are text or whole numbers")
    pq.write_table(pa.table({"user_id": [[1]], "item_id": ["a"]}), tmp_path / "toys.parquet")
    refused(tmp_path, "'user_id'", "list<", "Ids are text or whole numbers")


def test_text_where_a_number_belongs(tmp_path: Path) -> None:
    csv(tmp_path, "user_id,item_id,rating\nu,a,4\nu,b,good\n")
    refused(tmp_path, "toys.csv", "row 2 (line 3)", "'rating'", "'good'", "A rating is a finite number")
    csv(tmp_path, "user_id,item_id,timestamp\nu,a,4\nu,b,yesterday\n")
    refused(tmp_path, "row 2 (line 3)", "'timestamp'", "'yesterday'", "unix seconds")
    csv(tmp_path, "user_id,item_id,position\nu,a,4\nu,b,1.5\n")
    refused(tmp_path, "row 2 (line 3)", "'position'", "1.5", "whole number")


def test_the_line_of_a_row_after_quoted_line_ends(tmp_path: Path) -> None:
    csv(tmp_path, 'user_id,item_id,rating\nu,"a\nb\nc",4\n\nu,b,good\n')
    refused(tmp_path, "row 2 (line 6)")


@pytest.mark.parametrize("time", ["nan", "inf", "-inf", ""])
def test_time_that_is_no_number(tmp_path: Path, time: str) -> None:
    csv(tmp_path, f"user_id,item_id,timestamp\nu,a,4\nu,b,{time}\n")
    refused(tmp_path, "toys.csv", "row 2 (line 3)", "'timestamp'", time or "a blank")


def test_nan_and_null_times_of_a_frame() -> None:
    for times, said in (([1.0, float("nan")], "nothing (null)"), ([1.0, float("inf")], "found inf")):
        frame = pd.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "t": times})
        with pytest.raises(DataError, match=r"frame 'toys', row 2, column 't'") as error:
            Dataset.from_frames({"toys": frame}, time="t")
        assert said in str(error.value)
    with pytest.raises(DataError, match="row 2, column 't': found nan"):
        Dataset.from_frames(
            {"toys": pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "t": [1.0, float("nan")]})}, time="t"
        )


@pytest.mark.parametrize("time", ["-5", "1969-12-31"])
def test_negative_time(tmp_path: Path, time: str) -> None:
    first = "4" if time == "-5" else "2014-01-01"
    csv(tmp_path, f"user_id,item_id,timestamp\nu,a,{first}\nu,b,{time}\n")
    refused(tmp_path, "row 2", "'timestamp'", time, "before 1970")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("1400000000", "1400000000000", "This is in milliseconds, but row 1 (line 2) has 1400000000 (seconds)"),
        ("1400000000000", "1400000000", "This is in seconds, but row 1 (line 2) has 1400000000000 (milliseconds)"),
        ("2014-05-13", "1400000000", "That is a number, but earlier rows have dates"),
        ("1400000000", "2014-05-13", "one way for the whole column"),
        ("2014-05-13T10:00", "2014-05-13T10:00Z", "name a zone and some do not"),
        ("2014-05-13T10:00Z", "2014-05-13T10:00", "name a zone and some do not"),
        ("2014-05-13", "13/05/2014", "A date belongs there"),
    ],
)
def test_mixed_time_units(tmp_path: Path, first: str, second: str, said: str) -> None:
    csv(tmp_path, f"user_id,item_id,timestamp\nu,a,{first}\nu,c,{first}\nu,b,{second}\n")
    refused(tmp_path, "toys.csv", "row 3 (line 4)", "'timestamp'", said)


def test_mixed_time_units_in_different_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec.data.source.BATCH_ROWS", 4)
    times = [0] * 4 + [1_400_000_000_000] * 4 + [1_400_000_000]
    pq.write_table(
        pa.table({"user_id": ["u"] * 9, "item_id": ["a"] * 9, "timestamp": times}), tmp_path / "toys.parquet"
    )
    refused(tmp_path, "row 9,", "in seconds, but row 5 has 1400000000000 (milliseconds)")


def test_milliseconds_taken_for_seconds_cannot_happen(tmp_path: Path) -> None:
    csv(tmp_path, "user_id,item_id,timestamp\nu,a,1400000000000\n")
    data = Dataset.from_folder(tmp_path)
    assert data.time_E is not None
    assert data.time_E.tolist() == [1_400_000_000]
    csv(tmp_path, "user_id,item_id,timestamp\nu,a,31000000000\n")
    refused(tmp_path, "row 1", "31000000000", "Seconds after 2286, or a finer unit before 1973?")


def test_infinite_rating(tmp_path: Path) -> None:
    csv(tmp_path, "user_id,item_id,rating\nu,a,inf\n")
    refused(tmp_path, "row 1", "'rating'", "inf")


def test_wrong_number_of_cells(tmp_path: Path) -> None:
    csv(tmp_path, "user_id,item_id\nu,a\nu\n")
    refused(tmp_path, "toys.csv", "row 2 (line 3)", "found 1 values where the header has 2")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"user_id": "u", "item_id"', "where one JSON object belongs"),
        ('["u", "a"]', "where one JSON object belongs"),
    ],
)
def test_broken_json_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "toys.jsonl").write_text('{"user_id": "u", "item_id": "a"}\n\n' + line + "\n")
    refused(tmp_path, "toys.jsonl", "line 3", said)


def test_json_values_of_two_types(tmp_path: Path) -> None:
    (tmp_path / "toys.jsonl").write_text('{"user_id": "u", "item_id": "a"}\n{"user_id": 5, "item_id": "a"}\n')
    refused(tmp_path, "toys.jsonl", "row 2 (line 2)", "'user_id'", "found 5", "text")
    (tmp_path / "toys.jsonl").write_text('{"user_id": "u", "item_id": "a"}\n\n{"item_id": "a"}\n')
    refused(tmp_path, "toys.jsonl", "row 2 (line 3)", "'user_id'", "null")


def test_json_values_that_no_column_can_hold(tmp_path: Path) -> None:
    (tmp_path / "toys.jsonl").write_text('{"user_id": ["u"], "item_id": "a"}\n')
    refused(tmp_path, "toys.jsonl", "row 1 (line 1)", "'user_id'", "['u']", "Text or a number belongs there")


def test_a_json_column_that_begins_with_nulls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec.data.text.FIRST_LINES", 2)
    monkeypatch.setattr("crossrec.data.text.BATCH_BYTES", 128)
    line = '{{"user_id": "u", "item_id": "a", "rating": {}}}\n'
    (tmp_path / "toys.jsonl").write_text(
        "".join(map(line.format, ["null"] * 9)) + "\n" * 300 + line.format(3) + line.format("null") + line.format(4.5)
    )
    data = Dataset.from_folder(tmp_path)
    assert data.rating_E is not None
    assert [rating for rating in data.rating_E.tolist() if rating == rating] == [3.0, 4.5]


def test_whole_and_broken_numbers_in_json_are_one_type(tmp_path: Path) -> None:
    lines = ['{"user_id": "u", "item_id": "a", "rating": 4}', '{"user_id": "u", "item_id": "b", "rating": 4.5}']
    (tmp_path / "toys.jsonl").write_text("\n".join(lines))
    data = Dataset.from_folder(tmp_path)
    assert data.rating_E is not None
    assert data.rating_E.tolist() == [4.0, 4.5]


def test_domains_without_a_common_order(tmp_path: Path) -> None:
    csv(tmp_path, GOOD)
    csv(tmp_path, "user_id,item_id\nu1,g\n", "games.csv")
    refused(tmp_path, "games", "time=...", "order='file'")
    assert Dataset.from_folder(tmp_path, order="file").num_interactions == 2


def test_no_domain_file(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder")
    (tmp_path / "toys.xlsx").write_bytes(b"PK")
    csv(tmp_path, "item_id,title\na,A\n", "items.csv")
    refused(tmp_path, "no log in it", ".parquet, .csv", "toys.xlsx")


def test_unknown_suffix_and_unknown_domain(tmp_path: Path) -> None:
    csv(tmp_path, GOOD)
    (tmp_path / "games.xlsx").write_bytes(b"PK")
    for name, said in (("games", "games.xlsx has an unknown suffix"), ("toy", "Did you mean 'toys'?")):
        with pytest.raises(DataError, match=said):
            Dataset.from_folder(tmp_path, domains=[name])


def test_two_files_of_one_domain(tmp_path: Path) -> None:
    csv(tmp_path, GOOD)
    csv(tmp_path, GOOD.replace(",", "\t"), "toys.tsv")
    refused(tmp_path, "toys.tsv", "toys.csv already holds 'toys'")


def test_items_without_titles(tmp_path: Path) -> None:
    csv(tmp_path, GOOD)
    csv(tmp_path, "item_id,name\na,A\n", "items.csv")
    refused(tmp_path, "items.csv", "'title'", "Columns found: item_id, name")


@pytest.mark.parametrize("frame", [3, "toys.csv", [1, 2], pl.LazyFrame({"user_id": ["u"]})])
def test_what_is_no_frame(frame: Any) -> None:
    with pytest.raises(DataError, match="frame 'toys'"):
        Dataset.from_frames({"toys": frame})


def test_a_frame_column_of_mixed_types() -> None:
    with pytest.raises(DataError, match=r"frame 'toys': the columns .* cannot go to Arrow"):
        Dataset.from_frames({"toys": pd.DataFrame({"user_id": ["u", 1], "item_id": ["a", "b"]})})


def test_domain_names_are_text() -> None:
    with pytest.raises(DataError, match="Domain names are text"):
        Dataset.from_frames({1: pa.table({"user_id": ["u"], "item_id": ["a"]})})  # type: ignore[dict-item] # on purpose


def test_no_frames() -> None:
    with pytest.raises(DataError, match="one per domain"):
        Dataset.from_frames({})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"duplicates": "maybe"}, "duplicates: found 'maybe'"),
        ({"order": "random"}, "no order 'random'"),
        ({"domains": "toys"}, "found 'toys' where a list"),
        ({"domains": []}, r"found \[\] where a list"),
    ],
)
def test_arguments_that_are_none_of_the_known(tmp_path: Path, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Dataset.from_folder(csv(tmp_path, GOOD), **arguments)


def test_one_column_for_two_ends() -> None:
    with pytest.raises(InputError, match="two ends"):
        Columns(user="id", item="id")


def test_one_domain_only_where_two_are_needed(tmp_path: Path) -> None:
    data = Dataset.from_folder(csv(tmp_path, GOOD))
    require_domains(data, 1)
    with pytest.raises(DataError, match=r"There is one domain here \(toys\) where at least 2 are needed"):
        require_domains(data, 2)


def test_domains_without_a_shared_user(tmp_path: Path) -> None:
    csv(tmp_path, GOOD)
    csv(tmp_path, GOOD.replace("u1", "v1"), "games.csv")
    data = Dataset.from_folder(tmp_path)
    with pytest.raises(DataError, match=r"No user is in all of games, toys"):
        require_overlap(data)
    with pytest.raises(DataError, match=r"no domain 'toy'.*Did you mean 'toys'"):
        require_overlap(data, ["toy", "games"])
    assert require_overlap(data, ["toys"]) == 1
