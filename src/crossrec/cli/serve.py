"""``crossrec serve``: answer over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossrec.cli import options
from crossrec.cli.terminal import note, warn

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from crossrec.serve.arms import Experiment

TOKEN = "CROSSREC_TOKEN"
"""Environment variable of the token that is asked for."""
SWITCH = 0.0005
"""Seconds after which a thread that computes lets others go on, which may have an answer to send."""


def serve(
    run: options.Run,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to bind to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0: any that is free.")] = 8000,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where events are kept: sqlite:PATH, redis://... (default: RUN/events.db)."),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="NAME=RUN", help="Serve another run beside, under this name (repeat)."),
    ] = None,
    experiment: Annotated[str | None, typer.Option(metavar="NAME", help="Run this A/B test.")] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="NAME=W", help="An arm and its weight: main, or a name of --also (repeat)."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Ask for the token in this file (default: the environment's CROSSREC_TOKEN)."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="Threads of one computation.")] = 1,
) -> None:
    """Serve a run over HTTP, with a page to look at it."""
    import torch

    from crossrec.serve.app import create_app
    from crossrec.serve.bundle import Bundles
    from crossrec.serve.engine import MAIN, Engine
    from crossrec.serve.explain import Evidence
    from crossrec.serve.limits import LOCAL, Limits
    from crossrec.serve.metrics import Metrics
    from crossrec.serve.store import open_store

    torch.set_num_threads(threads)
    others = _named(also or [], "--also")
    tested = _experiment(experiment, arms or [], {MAIN, *others})
    token = _token(token_file)
    runs = {MAIN: Bundles(run)}
    runs.update({name: Bundles(Path(place), name=name) for name, place in others.items()})
    metrics = Metrics()
    opened = open_store(store or f"sqlite:{run / 'events.db'}")
    engine = Engine(runs, opened, experiment=tested, meter=metrics, evidence=Evidence())
    for each in runs.values():
        each.watch()
    local = host in ("127.0.0.1", "::1", "localhost")
    if not local and token is None:
        warn(f"Anybody who reaches {host} can read and write: set {TOKEN} or --token-file.")
    hosts = LOCAL if local and token is None else None
    _run(create_app(engine, metrics, Limits(token, hosts)), _bound(host, port))


def _run(app: FastAPI, bound: socket.socket) -> None:
    """Until it is told to stop: what was begun is answered first."""
    import gc
    import sys

    import uvicorn

    name, port = bound.getsockname()[:2]
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH)
    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=1000,
        timeout_graceful_shutdown=10,
    )
    note(f"Serving on http://{f'[{name}]' if ':' in name else name}:{port}")
    uvicorn.Server(settings).run(sockets=[bound])


def _bound(host: str, port: int) -> socket.socket:
    import socket

    from crossrec.errors import InputError

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((host, port), family=family, backlog=1024)
        # asyncio sends without delay only on sockets that it made itself
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return bound
    except OSError as error:
        raise InputError(
            f"{host}:{port} cannot be bound to ({error.strerror or error}): give --host or --port."
        ) from error


def _named(given: list[str], option: str) -> dict[str, str]:
    from crossrec.errors import InputError

    found: dict[str, str] = {}
    for text in given:
        name, equal, value = text.partition("=")
        if not (name and equal and value) or name in found:
            raise InputError(f"{option} {text}: give NAME=..., every name once.")
        found[name] = value
    return found


def _experiment(name: str | None, arms: list[str], served: set[str]) -> Experiment | None:
    from crossrec.errors import InputError, nearest
    from crossrec.serve.arms import Experiment

    if (name is None) != (not arms):
        raise InputError("An A/B test needs --experiment NAME and its arms: --arm main=1 --arm NAME=1.")
    if name is None:
        return None
    weights = {}
    for arm, weight in _named(arms, "--arm").items():
        if arm not in served:
            raise InputError(f"--arm {arm}: no run is served under this name.{nearest(arm, served)}")
        try:
            weights[arm] = float(weight)
        except ValueError:
            raise InputError(f"--arm {arm}={weight}: the weight is a number.") from None
    return Experiment(name, weights)


def _token(file: Path | None) -> str | None:
    import os

    from crossrec.errors import InputError

    if file is None:
        return os.environ.get(TOKEN) or None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({error}).") from error
    if not token:
        raise InputError(f"{file} is empty: put the token into it.")
    return token
