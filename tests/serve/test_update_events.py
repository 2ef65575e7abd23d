"""Where new events come from, and how they are laid among the old ones."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossrec.data.columns import Columns
from crossrec.data.dataset import Dataset
from crossrec.data.grown import grow
from crossrec.data.vocabulary import Catalogue, Vocabulary
from crossrec.errors import DataError, InputError
from crossrec.serve.update_events import arrivals

DOMAINS = ("toys", "games")
ROWS = [("ann", "t1", "toys", 1000), ("bob", "g1", "games", 1001), ("ann", "t2", "toys", 1002)]
HEAD = "user_id,item_id,domain,timestamp"


def text(rows=ROWS, head=HEAD):
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"


def told(data):
    """(user, domain, item, time) in the order of the histories."""
    user_E = np.repeat(np.arange(data.num_users), np.diff(data.offset_U1))
    found = []
    for user, item, time in zip(user_E.tolist(), data.item_E.tolist(), data.time_E.tolist(), strict=True):
        domain = data.domains[int(data.catalogue.domain_of(item))]
        own = data.items[domain].ids([item - data.catalogue.block(domain).start])[0].as_py()
        found.append((data.users.ids([user])[0].as_py(), domain, own, time))
    return found


WANTED = [("ann", "toys", "t1", 1000), ("ann", "toys", "t2", 1002), ("bob", "games", "g1", 1001)]


def test_a_file_with_a_column_of_domains_in_every_format(tmp_path):
    (tmp_path / "log.csv").write_text(text())
    (tmp_path / "log.jsonl").write_text(
        "\n".join(f'{{"user_id": "{u}", "item_id": "{i}", "domain": "{d}", "timestamp": {t}}}' for u, i, d, t in ROWS)
    )
    columns = dict(zip(HEAD.split(","), map(list, zip(*ROWS, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    for suffix in ("csv", "jsonl", "parquet"):
        read = arrivals(str(tmp_path / f"log.{suffix}"), DOMAINS, {})
        assert sorted(told(read.data)) == WANTED
        assert (read.origin, read.cursor) == (f"log.{suffix}", None)


def test_a_folder_and_a_file_are_named_after_domains(tmp_path):
    for name in DOMAINS:
        rows = [(u, i, t) for u, i, d, t in ROWS if d == name]
        (tmp_path / f"{name}.csv").write_text(text(rows, "who,what,when"))
    columns = Columns("who", "what", "when")
    assert sorted(told(arrivals(str(tmp_path), DOMAINS, {}, columns).data)) == WANTED
    assert told(arrivals(str(tmp_path / "games.csv"), DOMAINS, {}, columns).data) == [("bob", "games", "g1", 1001)]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("log.csv", text([("ann", "t1", "toy", 1)]), "knows no domain 'toy'. Did you mean 'toys'?"),
        ("log.csv", text([("ann", "t1", "toys", "soon")]), "rows of 'toys', row 1, column 'timestamp': found 'soon'"),
        ("log.csv", text([("ann", "t1", "toys", -5)]), "found -5"),
        ("log.csv", text([("ann", "", "toys", 5)]), "column 'item_id'"),
        ("log.csv", text([("ann", "t1", "toys")], "user_id,item_id,domain"), "no column 'timestamp' for the times"),
        ("log.csv", text([("ann", "t1", 1)], "user_id,item_id,timestamp"), "named after no domain"),
        ("books.csv", text([("ann", "t1", 1)], "user_id,item_id,timestamp"), "named after no domain"),
        ("log.xls", "x", "unknown suffix"),
    ],
)
def test_what_cannot_be_used_is_one_error(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as error:
        arrivals(str(tmp_path / name), DOMAINS, {})
    assert words in str(error.value)


@pytest.mark.parametrize("events", ["none.csv", "sqlite:none.db", "mysql://host/x"])
def test_what_is_not_there_is_one_error(tmp_path, monkeypatch, events):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        arrivals(events, DOMAINS, {})
    assert list(tmp_path.iterdir()) == [], "no empty store is made"


def frame(rows):
    users, items, times = zip(*rows, strict=True)
    return {"user_id": list(users), "item_id": list(items), "timestamp": list(times)}


def test_new_events_take_their_place_in_time_and_new_ids_theirs_at_the_end():
    old = Dataset.from_frames(
        {"toys": frame([("ann", "t1", 10), ("bob", "t2", 20)]), "games": frame([("ann", "g1", 30)])}, time="timestamp"
    )
    new = Dataset.from_frames(
        {"toys": frame([("cat", "t9", 5), ("ann", "t9", 20), ("ann", "t1", 10), ("ann", "t9", 20), ("bob", "t1", 20)])},
        time="timestamp",
    )
    grown = grow(old, new)
    assert told(grown.data) == [
        ("ann", "toys", "t1", 10),
        ("ann", "toys", "t9", 20),
        ("ann", "games", "g1", 30),
        ("bob", "toys", "t2", 20),
        ("bob", "toys", "t1", 20),
        ("cat", "toys", "t9", 5),
    ]
    assert grown.fresh_G.tolist() == [False, True, False, False, True, True]
    assert (grown.repeats, grown.late) == (2, 1)
    assert grown.data.users.text.to_pylist() == ["ann", "bob", "cat"]
    assert grown.data.items["toys"].text.to_pylist() == ["t1", "t2", "t9"]
    assert old.catalogue.moved_to(grown.data.catalogue).tolist() == [0, 1, 2, 4]


def test_ratings_stay_with_their_events():
    rated = {**frame([("ann", "t1", 30), ("ann", "t2", 10)]), "stars": [5.0, 2.0]}
    old = Dataset.from_frames({"toys": rated}, time="timestamp", rating="stars")
    plain = Dataset.from_frames({"toys": frame([("ann", "t3", 20)])}, time="timestamp")
    assert np.array_equal(grow(old, plain).data.rating_E, [2.0, np.nan, 5.0], equal_nan=True)
    assert grow(plain, old).data.rating_E is None


def test_times_must_be_known():
    timed = Dataset.from_frames({"toys": frame([("ann", "t1", 10)])}, time="timestamp")
    bare = Dataset.from_frames({"toys": frame([("ann", "t1", 10)])})
    with pytest.raises(DataError, match="The data of the run have events without a time"):
        grow(bare, timed)
    with pytest.raises(DataError, match="The new events have events without a time"):
        grow(timed, bare)


def test_a_vocabulary_of_numbers_becomes_one_of_text_where_it_must():
    numbers = Vocabulary(pa.array(["3", "1"]), "int64")
    assert numbers.extended(Vocabulary(pa.array(["1", "7"]))).ids([0, 2]).to_pylist() == [3, 7]
    assert numbers.extended(Vocabulary(pa.array(["x"]))).ids([0, 2]).to_pylist() == ["3", "x"]


def test_a_catalogue_that_has_shrunk_is_refused():
    with pytest.raises(InputError, match="cannot have grown"):
        Catalogue({"toys": 3}, 2).moved_to(Catalogue({"toys": 2}, 2))
