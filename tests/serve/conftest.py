"""A real server on a free port of this machine, and both kinds of store."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossrec.serve.events import Event
from crossrec.serve.store import Store, open_store

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")


class Server:
    """A redis-server that keeps what it has answered for, in a folder of its own."""

    def __init__(self, folder: Path, fsync: str = "always") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.fsync = folder, fsync
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, db: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{db}"

    def start(self) -> None:
        words = f"--bind 127.0.0.1 --port {self.port} --dir {self.folder} --appendonly yes --appendfsync {self.fsync}"
        self.process = subprocess.Popen(
            [str(BINARY), *words.split(), "--save", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as line:
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="session")
def make_server(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Starts servers; all are stopped at the end."""
    if BINARY is None:
        pytest.skip("no redis-server or valkey-server on this machine")
    servers: list[Server] = []

    def make(**settings: str) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("server"), **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def server(make_server) -> Server:
    """One server that the tests share; each empties it."""
    return make_server()


@pytest.fixture(params=["sqlite", "redis"])
def url(request, tmp_path) -> str:
    """An empty store of either kind."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'events.db'}"
    import redis

    address = request.getfixturevalue("server").url()
    redis.Redis.from_url(address).flushall()
    return address


@pytest.fixture
def store(url) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


def event(id: str, user: str = "u", time: float = 1000.0, item: str = "i", **more: object) -> Event:
    return Event(user, "toys", item, time, id, **more)
