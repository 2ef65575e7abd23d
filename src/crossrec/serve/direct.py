"""The short way of the paths that are asked most: the body is read once, by its model, and what is made is sent as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

THREADS = 12
"""Requests of one of these paths that are worked on at a time; the others wait. Paths do not wait for each other: a disk that
is slow to take events in holds up no recommendation."""


class Direct(APIRoute):
    """A route of an endpoint ``(request, asked)``, where ``asked`` is the body's model.

    Whatever is not as it should be goes the way of every other route, and so has its errors.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        plain, endpoint = super().get_route_handler(), self.endpoint
        pool = ThreadPoolExecutor(THREADS, self.name)
        model: type[BaseModel] = get_type_hints(endpoint)["asked"]

        async def handle(request: Request) -> Response:
            if request.headers.get("content-type") != "application/json":
                return await plain(request)
            try:
                asked = model.model_validate_json(await request.body())
            except ValidationError:
                return await plain(request)
            made: BaseModel = await asyncio.get_running_loop().run_in_executor(pool, endpoint, request, asked)
            return Response(made.model_dump_json(), media_type="application/json")

        return handle
