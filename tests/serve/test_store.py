"""The laws of a store; every test runs against SQLite and against a real server."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import threading
import time
import warnings

import pytest

from crossrec.errors import InputError
from crossrec.serve.events import Event, Exposure
from crossrec.serve.store import StoreError, open_store

WRITE = """
import sys
from crossrec.serve.events import Event
from crossrec.serve.store import open_store
url, name, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with open_store(url) as store:
    print(sum(store.append([Event(f"u{i % 3}", "toys", name, 1000 + i, f"e{i}") for i in range(at, at + 5)])
              for at in range(first, first + count, 5)))
"""


def event(id, user="u", time=1000.0, item="i", **more):
    return Event(user, "toys", item, time, id, **more)


def exposure(request, user="u", time=1000.0, **more):
    return Exposure(request, user, "new", "toys", ("a", "b"), time, **more)


def ids(events):
    return [each.id for each in events]


def everything(read, count):
    """All pages from the beginning."""
    found, cursor = [], None
    while True:
        page, cursor = read(cursor, count)
        if not page:
            return found
        found += page


def test_what_goes_in_comes_out(store):
    one = Event("ü 用户\t'\"%_\\", "toys & games", "物 \U0001f3b2\n:*", 1234.5678901234, "id {1}\0,", "buy", "r;--")
    two = Event("u", "toys", "i", 7, "e2")
    assert store.append([one, two]) == 2
    assert store.history(one.user) == [one]
    assert store.history("u") == [two]
    assert store.history("nobody") == []
    assert store.since()[0] == [one, two]
    assert store.users() == sorted([one.user, "u"])


def test_nothing_is_nothing(store):
    assert store.append([]) == store.expose([]) == 0
    events, cursor = store.since()
    assert (events, store.users()) == ([], [])
    assert store.since(cursor)[0] == []


def test_the_same_id_is_one_event_in_a_call_and_across_calls(store):
    assert store.append([event("a"), event("b"), event("a", item="other")]) == 2
    assert store.append([event("b", user="v"), event("c")]) == 1
    assert ids(store.history("u")) == ["a", "b", "c"]
    assert store.history("u")[0].item == "i"
    assert (store.history("v"), store.users(), ids(store.since()[0])) == ([], ["u"], ["a", "b", "c"])


def test_late_events_go_to_their_place_and_ties_stand_in_order_of_arrival(store):
    store.append([event("c", time=30), event("a", time=10)])
    store.append([event("d", time=30), event("b", time=20.5), event("e", time=30)])
    assert ids(store.history("u")) == ["a", "b", "c", "d", "e"]
    assert ids(store.since()[0]) == ["c", "a", "d", "b", "e"]
    assert ids(store.history("u", 2)) == ["d", "e"]


def test_a_history_is_bounded_and_the_log_is_not(url):
    with open_store(url, limit=3) as store:
        store.append([event(f"e{i}", time=i) for i in (5, 1, 4, 2, 3)])
        assert ids(store.history("u")) == ["e3", "e4", "e5"]
        assert store.append([event("old", time=0), event("tie", time=5), event("other", user="v")]) == 3
        assert ids(store.history("u")) == ["e4", "e5", "tie"]
        assert ids(store.history("v")) == ["other"]
        assert len(store.since()[0]) == 8
    with open_store(url, limit=500) as store:
        assert ids(store.history("u")) == ["e4", "e5", "tie"], "no more is kept than is asked for"


def test_impressions_are_logged_and_belong_to_no_history(store):
    assert store.append([event("a", kind="impression"), event("b", kind="view")]) == 2
    assert store.append([event("a")]) == 0
    assert ids(store.history("u")) == ["b"]
    store.append([event("c", user="v", kind="impression")])
    assert store.users() == ["u"]


def test_users_come_in_pages_in_order(store):
    names = [f"u{i:02d}" for i in range(25)] + ["é", "z", "\U0001f3b2", "ﬀ"]
    store.append([event(name, user=name) for name in reversed(names)])
    found, start = [], ""
    while page := store.users(start, 10):
        assert len(page) <= 10
        found += page
        start = page[-1]
    assert found == sorted(names)


def test_a_cursor_gives_every_event_once_in_order_of_arrival(store):
    store.append([event(f"a{i}", time=100 - i) for i in range(10)])
    first, cursor = store.since(None, 4)
    store.append([event("late", time=1)])
    second, cursor = store.since(cursor, 100)
    assert ids(first + second) == [*(f"a{i}" for i in range(10)), "late"]
    assert store.since(cursor, 100) == ([], cursor)


def test_a_cursor_lives_through_a_new_start(url):
    with open_store(url) as store:
        store.append([event("a"), event("b")])
        cursor = store.since(None, 1)[1]
    with open_store(url) as store:
        assert ids(store.since(cursor)[0]) == ["b"]


def test_exposures_are_kept_once_per_experiment_and_request(store):
    one = exposure("r1", experiment="e", page="home", first=11)
    assert store.expose([one, exposure("r1", experiment="other"), one, exposure("r2")]) == 3
    assert store.expose([dataclasses.replace(one, user="v")]) == 0
    found = everything(store.exposures, 2)
    assert found[0] == one
    assert [each.request for each in found] == ["r1", "r1", "r2"]


def test_trim_drops_log_and_ids_and_keeps_histories(store):
    store.append([event("old", time=10), event("new", time=20), event("older", time=5)])
    store.expose([exposure("r1", time=10), exposure("r2", time=20)])
    cursor = store.since()[1]
    assert store.trim(15) == 3
    assert ids(store.since()[0]) == ["new"]
    assert [each.request for each in store.exposures()[0]] == ["r2"]
    assert ids(store.history("u")) == ["older", "old", "new"]
    assert store.append([event("old", time=10), event("new", time=20)]) == 0, (
        "what is older than a trim counts as known"
    )
    assert store.expose([exposure("r1", time=10)]) == 0
    assert store.trim(1) == 0
    assert store.append([event("old", time=10), event("next", time=15)]) == 1, "a trim is not taken back"
    assert ids(store.since(cursor)[0]) == ["next"]
    assert store.trim(1e9) == 3
    store.append([event("last", time=2e9 - 8e8)])
    assert ids(store.since(cursor)[0]) == ["last"], "places are never given twice"


def test_trim_goes_through_a_long_log(store):
    for part in range(3):
        store.append([event(f"e{part}-{i}", time=i) for i in range(1000)])
    assert store.trim(990) == 2970
    assert len(store.since()[0]) == 30


def test_four_processes_write_and_every_event_is_there_once(url):
    """Each writes 60 events of 105, so that every id comes from several; a reader follows meanwhile."""
    with open_store(url) as store:
        jobs = [
            subprocess.Popen([sys.executable, "-c", WRITE, url, f"p{at}", str(15 * at), "60"], stdout=subprocess.PIPE)
            for at in range(4)
        ]
        seen, cursor = [], None
        while running := any(job.poll() is None for job in jobs) or len(seen) < 105:
            page, cursor = store.since(cursor, 7)
            seen += ids(page)
            if not running:
                break
        assert [job.wait() for job in jobs] == [0] * 4
        assert sum(int(job.stdout.read()) for job in jobs) == 105
        assert len(seen) == 105
        assert set(seen) == {f"e{i}" for i in range(105)}
        histories = [store.history(user) for user in store.users()]
        assert sorted(len(history) for history in histories) == [35, 35, 35]
        assert all(history == sorted(history, key=lambda each: each.time) for history in histories)


def test_threads_share_a_store(store):
    new = []

    def write(at):
        new.append(sum(store.append([event(f"e{i}", user=f"u{at}", time=i)]) for i in range(10 * at, 10 * at + 20)))
        store.history(f"u{at}")

    threads = [threading.Thread(target=write, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(new) == len(store.since()[0]) == 70


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user": ""}, "user has 0 characters"),
        ({"item": "x" * 257}, "item has 257 characters"),
        ({"id": 7}, "id is int"),
        ({"domain": None}, "domain is NoneType"),
        ({"kind": "k" * 33}, "kind has 33"),
        ({"request": ""}, "request has 0"),
        ({"user": "a\ud800"}, "half a character"),
        ({"time": math.nan}, "time is nan"),
        ({"time": math.inf}, "time is inf"),
        ({"time": -1.0}, "time is -1.0"),
        ({"time": True}, "time is bool"),
        ({"time": time.time() + 90_000}, "more than a day ahead"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_what_is_no_event_is_refused_and_nothing_of_its_call_is_taken(store, change, said):
    with pytest.raises(InputError, match=said):
        store.append([event("good"), dataclasses.replace(event("bad"), **change)])
    assert store.since()[0] == []


def test_what_cannot_be_asked_is_refused(store):
    for wrong, said in [
        (lambda: store.append([event(str(i)) for i in range(1001)]), "at most 1,000"),
        (lambda: store.since("nonsense"), "no cursor"),
        (lambda: store.since("-1"), "no cursor"),
        (lambda: store.since(None, 0), "ask for 1"),
        (lambda: store.users("", 100_000), "ask for 1"),
        (lambda: store.users("\ud800"), "half a character"),
        (lambda: store.history(""), "0 characters"),
        (lambda: store.history("u", -1), "ask for 1"),
        (lambda: store.trim(math.nan), "no time"),
        (lambda: store.expose([dataclasses.replace(exposure("r"), items=())]), "between 1 and"),
        (lambda: store.expose([exposure("r", first=0)]), "first is the rank"),
        (lambda: store.expose([exposure("")]), "request has 0"),
    ]:
        with pytest.raises(InputError, match=said):
            wrong()
    store.ping()


@pytest.mark.parametrize(
    "url",
    [
        "events.db",
        "",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:no/such/folder/e.db",
        "sqlite:.",
        "http://x",
        "redis://h/zero",
    ],
)
def test_a_url_that_names_no_store_is_refused(url):
    with pytest.raises(InputError):
        open_store(url)


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, 10**9])
def test_a_limit_is_a_number_of_events(tmp_path, limit):
    with pytest.raises(InputError, match="limit"):
        open_store(f"sqlite:{tmp_path / 'e.db'}", limit=limit)


def test_files_of_others_are_left_alone(tmp_path):
    import sqlite3

    text, other = tmp_path / "text.db", tmp_path / "other.db"
    text.write_text("no database at all, but long enough to look like one" * 50)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (a)")
    db.close()
    with pytest.raises(InputError, match="no SQLite file"):
        open_store(f"sqlite:{text}")
    with pytest.raises(InputError, match="another program"):
        open_store(f"sqlite:{other}")


def test_a_file_taken_away_loses_no_acknowledged_event(tmp_path):
    path = tmp_path / "e.db"
    with open_store(f"sqlite:{path}") as store:
        store.append([event("a")])
        for file in tmp_path.iterdir():
            file.unlink()
        with pytest.raises(StoreError, match="taken away"):
            store.append([event("b")])
        assert store.append([event("b")]) == 1
        assert ids(store.history("u")) == ["b"]


def test_a_locked_file_is_a_store_error_and_then_works(tmp_path, monkeypatch):
    import sqlite3

    monkeypatch.setattr("crossrec.serve.sqlite.WAIT", 0.05)
    path = tmp_path / "e.db"
    with open_store(f"sqlite:{path}") as store:
        store.append([event("a")])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.append([event("b")])
        assert ids(store.history("u")) == ["a"], "reads do not wait for writers"
        other.execute("ROLLBACK")
        other.close()
        assert store.append([event("b")]) == 1


def test_a_server_that_is_gone_is_soon_a_store_error_and_works_when_back(make_server):
    server = make_server()
    with open_store(server.url()) as store:
        store.append([event("a")])
        server.kill()
        begin = time.monotonic()
        for call in (
            lambda: store.history("u"),
            lambda: store.append([event("b")]),
            store.ping,
            store.users,
            store.since,
        ):
            with pytest.raises(StoreError, match="does not answer"):
                call()
        assert time.monotonic() - begin < 2
        with pytest.raises(StoreError):
            open_store(server.url())
        server.start()
        assert ids(store.history("u")) == ["a"]
        assert store.append([event("b")]) == 1


def test_a_server_that_can_lose_events_is_told_of(make_server):
    with pytest.warns(UserWarning, match="appendfsync always"):
        open_store(make_server(fsync="everysec").url()).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_store(make_server().url()).close()


def test_messages_hide_passwords():
    with pytest.raises(StoreError) as error:
        open_store("redis://me:secret@127.0.0.1:9/0")
    assert "secret" not in str(error.value)
    with pytest.raises(InputError) as wrong:
        open_store("mysql://me:secret@host/0")
    assert "secret" not in str(wrong.value)
