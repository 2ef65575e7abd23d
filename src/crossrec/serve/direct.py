"""The short way of the paths that are asked most: past the framework, the body read once and the answer sent as it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_type_hints

from fastapi import FastAPI, Request
from pydantic import BaseModel, ValidationError
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

THREADS = 12
"""Requests of one of these paths that are worked on at a time; the others wait. Paths do not wait for each other: a disk that
is slow to take events in holds up no recommendation."""
JSON = (b"content-type", b"application/json")


class Way:
    """A path that takes a POST, whose endpoint is ``(request, asked)`` with the body's model as ``asked``."""

    def __init__(self, route: Route) -> None:
        self.route, self.endpoint = route, route.endpoint
        self.model: type[BaseModel] = get_type_hints(route.endpoint)["asked"]
        self.pool = ThreadPoolExecutor(THREADS, route.name)

    async def __call__(self, request: Request, asked: BaseModel) -> BaseModel:
        made: BaseModel = await asyncio.get_running_loop().run_in_executor(self.pool, self.endpoint, request, asked)
        return made


class Direct:
    """A layer around the app that answers some of its paths by itself.

    A body that is not as it should be goes the way of every other path, so that its errors are the app's own; so are those of
    the endpoints, by the app's handlers.
    """

    def __init__(self, app: ASGIApp, paths: FastAPI, names: tuple[str, ...]) -> None:
        """``paths``: the app whose paths of these names are meant."""
        routes = [each for each in paths.routes if isinstance(each, Route) and each.path in names]
        self.app, self.ways = app, {route.path: Way(route) for route in routes}
        self.handlers: Mapping[Any, Callable[..., Any]] = paths.exception_handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        way = self.ways.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if way is None or JSON not in scope["headers"]:
            await self.app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        whole = messages[-1]["type"] == "http.request"
        try:
            asked = way.model.model_validate_json(
                b"".join(each.get("body", b"") for each in messages) if whole else b""
            )
        except ValidationError:
            await self.app(scope, _again(messages, receive), send)
            return
        scope["route"], request = way.route, Request(scope)
        try:
            made = await way(request, asked)
        except Exception as error:
            handler = next((self.handlers[kind] for kind in type(error).__mro__ if kind in self.handlers), None)
            if handler is None:
                raise
            await (await handler(request, error))(scope, receive, send)
            return
        body = made.model_dump_json().encode()
        headers = [(b"content-length", str(len(body)).encode()), JSON]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _again(messages: list[Message], receive: Receive) -> Receive:
    """What was received, once more, and then what comes."""
    waiting = iter(messages)

    async def received() -> Message:
        for message in waiting:
            return message
        return await receive()

    return received
