"""A real server is switched, given a broken version and killed while it is used: nothing is dropped, nothing lost."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from crossrec.serve import versions
from crossrec.serve.store import open_store
from crossrec.testing.served import small_run

pytest.importorskip("uvicorn", reason="the extra serve is not installed")


class Served:
    """`crossrec serve` in a process of its own."""

    def __init__(self, run, store):
        command = [sys.executable, "-m", "crossrec", "serve", str(run), "--port", "0", "--store", store]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        told = self.process.stderr.readline()
        assert told.startswith("Serving on http://127.0.0.1:"), told
        self.port = int(told.rpartition(":")[2])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def post(line, path, body):
    line.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer = line.getresponse()
    return answer.status, json.loads(answer.read())


def in_threads(work, count):
    threads = [threading.Thread(target=work, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    return threads


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return [small_run(folder / f"run{seed}", seed) for seed in (1, 2)]


@pytest.fixture
def served(made, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made[0], run)
    server = Served(run, f"sqlite:{tmp_path / 'events.db'}")
    server.run = run
    yield server
    server.kill()


def test_a_server_is_switched_refuses_what_is_broken_and_is_killed_and_loses_nothing(served, made, tmp_path):
    acked, answers, failures = [], [], []
    done = threading.Event()

    def write(name):
        line = served.connect()
        for at in range(100_000):
            ids = [f"{name}-{at}-{part}" for part in range(3)]
            events = [{"user": f"u{at % 5}", "domain": "toys", "item": f"toys{at % 30}", "id": id} for id in ids]
            try:
                status, _ = post(line, "/events", {"events": events})
            except (OSError, http.client.HTTPException):
                return
            if status == 200:
                acked.extend(ids)

    def read(name):
        line = served.connect()
        while not done.is_set():
            try:
                status, body = post(line, "/recommend", {"user": f"u{name}", "k": 3})
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
                return
            answers.append((status, body.get("version"), len(body.get("items", ()))))

    def wait_for(version):
        end = time.monotonic() + 20
        while not any(found == version for _, found, _ in answers[-4:]):
            assert time.monotonic() < end, "the switch did not come"
            time.sleep(0.02)

    first, second = versions.fingerprint(made[0]), versions.fingerprint(made[1])
    readers = in_threads(read, 3)
    wait_for(first)
    place = versions.publish(made[1], served.run, "second")
    versions.point(served.run, "second")
    wait_for(second)
    weights = versions.publish(made[1], served.run, "broken") / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    versions.point(served.run, "broken")
    time.sleep(0.6)
    wait_for(second)
    versions.point(served.run, "")
    wait_for(first)
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert {(status, count) for status, _, count in answers} == {(200, 3)}
    assert {version for _, version, _ in answers} == {first, second}
    assert place.is_dir()

    writers = in_threads(write, 3)
    end = time.monotonic() + 20
    while len(acked) < 60:
        assert time.monotonic() < end
        time.sleep(0.01)
    served.kill()
    for writer in writers:
        writer.join()
    with open_store(f"sqlite:{tmp_path / 'events.db'}") as store:
        found, cursor = [], None
        while page := (got := store.since(cursor))[0]:
            found += [each.id for each in page]
            cursor = got[1]
    assert set(acked) <= set(found)
    assert len(found) == len(set(found))
    assert "was refused" in served.process.stderr.read()
