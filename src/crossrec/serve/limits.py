"""The door of the service: what comes in is bounded and may be asked for a token; what goes out has safe headers.

Plain ASGI: one layer around the app, which names every request, times it and gives every error one shape.
"""

from __future__ import annotations

import hmac
import itertools
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

from crossrec.serve.metrics import Metrics

LOG = logging.getLogger("crossrec.serve")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY = 1 << 20
"""Bytes of the largest body."""
QUERY = 4096
"""Bytes of the longest path with its query."""
OPEN = ("/", "/health", "/ready", "/docs", "/openapi.json")
"""Paths that never ask for the token: what a probe or a browser fetches by itself; they tell nothing of the data."""
PAGE = "/page/"
"""Files of the page, open as well."""
REQUEST = re.compile(rb"[A-Za-z0-9._-]{1,64}")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Host names of a server that is bound to this machine alone: a page of somebody else's has another in its requests."""


@dataclass(frozen=True)
class Limits:
    """What the door holds to."""

    token: str | None = None
    """The bearer token that is asked for; None: nobody is."""
    hosts: Collection[str] | None = None
    """Names by which the server may be called; None: any."""
    body: int = BODY


class Door:
    """The layer around the app."""

    def __init__(self, app: App, limits: Limits, metrics: Metrics) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self._name, self._count = secrets.token_hex(8), itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request = given.decode() if REQUEST.fullmatch(given) else f"{self._name}{next(self._count) % 2**32:08x}"
        scope.setdefault("state", {})["request"] = request
        reply = _Reply(send, request)
        wrong = self._wrong(scope, headers)
        try:
            if wrong is not None:
                await reply.refuse(*wrong)
            else:
                await self.app(scope, self._bounded(receive, reply), reply)
        except Exception:
            LOG.exception("%s %s, request %s", scope["method"], scope["path"], request)
            await reply.refuse(500, "broken", "Something broke; the log of the server says what.")
        finally:
            path = getattr(scope.get("route"), "path", "other") if wrong is None else "refused"
            method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other"
            self.metrics.answered(path, method, reply.status, time.perf_counter() - began)

    def _wrong(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str, str] | None:
        """Status, code and message of what is refused before it is looked at."""
        path = scope["path"]
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > QUERY:
            return 414, "too-long", f"The address has more than {QUERY:,} bytes."
        if self.limits.hosts is not None and _host(headers.get(b"host", b"")) not in self.limits.hosts:
            return 421, "wrong-host", "This server is not called by that name."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 12 or int(length) > self.limits.body:
            return 413, "too-large", f"The body has more than {self.limits.body:,} bytes."
        if self.limits.token is None or path in OPEN or path.startswith(PAGE):
            return None
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self.limits.token.encode()):
            return None
        return 401, "unauthorized", "Send the server's token: Authorization: Bearer TOKEN."

    def _bounded(self, receive: Receive, reply: _Reply) -> Receive:
        """The body as it comes, up to the limit."""
        left = self.limits.body

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                await reply.refuse(413, "too-large", f"The body has more than {self.limits.body:,} bytes.")
                return {"type": "http.disconnect"}
            return message

        return bounded


class _Reply:
    """What is sent back: the app's answer with the headers of every answer, or a refusal in its place."""

    def __init__(self, send: Send, request: str) -> None:
        self._send, self._request = send, request
        self.status = 0
        self._refused = False

    async def __call__(self, message: Message) -> None:
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = {name for name, _ in message.get("headers", ())}
            added = [pair for pair in HEADERS if pair[0] not in own]
            named = (b"x-request-id", self._request.encode())
            message["headers"] = [*message.get("headers", ()), *added, named]
        await self._send(message)

    async def refuse(self, status: int, code: str, message: str) -> None:
        """An error instead of an answer; nothing, where an answer has begun."""
        if self.status:
            return
        body = json.dumps({"error": {"code": code, "message": message, "request": self._request}}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status == 413:
            headers.append((b"connection", b"close"))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})
        self._refused = True


def _host(header: bytes) -> str:
    """The host of a Host header, without its port."""
    text = header.decode("latin-1").lower()
    return text.partition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0]
