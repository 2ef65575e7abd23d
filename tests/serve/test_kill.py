"""A process or a server is killed while it writes: what was acknowledged is there."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from crossrec.serve.events import Event
from crossrec.serve.store import StoreError, open_store

WRITE = """
import itertools, os, sys, threading
from crossrec.serve.events import Event
from crossrec.serve.store import open_store
store = open_store(sys.argv[1], limit=20)
def write(name):
    for i in itertools.count():
        store.append([Event(f"u{i % 3}", "toys", "i", i, f"{name}-{i}-{part}") for part in range(3)])
        os.write(1, f"{name}-{i}\\n".encode())
for at in range(3):
    threading.Thread(target=write, args=(f"{sys.argv[2]}.{at}",)).start()
"""


def everything(store):
    found, cursor = [], None
    while page := (answer := store.since(cursor, 1000))[0]:
        found += page
        cursor = answer[1]
    return found


def check(store, acked):
    """Every acknowledged call is there whole, no call is there in part, and histories are those of the log."""
    events = everything(store)
    there = [each.id for each in events]
    assert len(there) == len(set(there))
    calls = [name.rpartition("-")[0] for name in there]
    assert set(acked) <= set(calls)
    assert {calls.count(name) for name in set(calls)} == {3}
    for user in store.users():
        own = sorted((each for each in events if each.user == user), key=lambda each: each.time)
        assert store.history(user) == own[-20:]


def test_a_killed_writer_loses_nothing_that_it_was_answered_for(url):
    rng = np.random.default_rng(5)
    acked = []
    for turn in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITE, url, str(turn)], stdout=subprocess.PIPE)
        acked.append(writer.stdout.readline().decode().strip())
        time.sleep(rng.uniform(0, 0.2))
        writer.kill()
        lines = writer.communicate()[0].decode()
        acked += lines[: lines.rfind("\n") + 1].split()
    with open_store(url, limit=20) as store:
        check(store, acked)
        assert store.append([Event("u0", "toys", "i", 1, "after")]) == 1


def test_a_killed_server_loses_nothing_that_it_answered_for(make_server):
    server = make_server()
    acked = []
    with open_store(server.url(), limit=20) as store:
        killer = threading.Timer(0.3, server.kill)
        killer.start()

        def write():
            for i in range(100_000):
                store.append([Event(f"u{i % 3}", "toys", "i", i, f"e-{i}-{part}") for part in range(3)])
                acked.append(f"e-{i}")

        with pytest.raises(StoreError):
            write()
        killer.join()
        server.start()
        assert acked
        check(store, acked)
