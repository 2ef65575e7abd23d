"""The HTTP service: paths, their models, and errors of one shape. What is answered comes from the engine."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any

from crossrec import __version__
from crossrec.errors import InputError

try:
    from fastapi import FastAPI, Query, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse, Response
    from prometheus_client import CONTENT_TYPE_LATEST
    from starlette.exceptions import HTTPException
except ImportError as error:
    raise InputError(f"{error.name or 'fastapi'} is not installed: pip install 'crossrec[serve]'.") from error

from crossrec.serve import schemas
from crossrec.serve.asked import MEANING, Ask, Filters
from crossrec.serve.direct import Direct
from crossrec.serve.engine import MAIN, Engine
from crossrec.serve.events import LONGEST, Event
from crossrec.serve.limits import Door, Limits
from crossrec.serve.metrics import Metrics
from crossrec.serve.page_api import page_router
from crossrec.serve.paths_page import docs_page
from crossrec.serve.store import StoreError

LOG = logging.getLogger("crossrec.serve")
FILES = {"app.js": "text/javascript", "style.css": "text/css"}
"""The files of the page, and nothing else, are given out."""
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ErrorOut, "description": text}
    for status, text in {
        400: "The body is no JSON, or a header is broken.",
        401: "The token is missing or wrong.",
        413: "The body is too large.",
        414: "The address is too long.",
        421: "The server is called by a wrong name.",
        422: "What was sent cannot be used.",
        500: "Something broke; the log of the server says what.",
    }.items()
}
GONE: dict[int | str, dict[str, Any]] = {503: {"model": schemas.ErrorOut, "description": "The store is away."}}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": schemas.ErrorOut, "description": "Nothing is known of it."}}
IdQuery = Annotated[str, Query(min_length=1, max_length=LONGEST)]
MaybeQuery = Annotated[str | None, Query(min_length=1, max_length=LONGEST)]


class Service:
    """The paths of one engine."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self.engine, self.metrics = engine, metrics

    def recommend(self, request: Request, asked: schemas.RecommendIn) -> schemas.RecommendOut:
        """The best items of a domain, for a user (known or not) or for a history that is sent along."""
        history = None if asked.history is None else [(each.domain, each.item) for each in asked.history]
        filters = Filters(asked.filters.seen, asked.filters.allow, asked.filters.deny)
        about = (asked.user, history, asked.domain, asked.k, filters, asked.model, asked.page)
        answer = self.engine.recommend(Ask(request.state.request, *about))
        return schemas.RecommendOut.model_validate(answer)

    def similar(
        self,
        request: Request,
        item: IdQuery,
        domain: MaybeQuery = None,
        k: Annotated[int, Query(ge=1, le=schemas.MOST_K)] = 10,
        model: MaybeQuery = None,
    ) -> schemas.SimilarOut:
        """Items of the same domain that are most like one."""
        name = model or MAIN
        bundle, where, items = self.engine.similar(domain, item, k, name)
        made = [schemas.ItemOut(**_flat(each)) for each in items]
        about = {"request": request.state.request, "model": name, "version": bundle.version, "domain": where}
        return schemas.SimilarOut(**about, item=item, items=made)

    def explain(
        self,
        request: Request,
        user: IdQuery,
        item: IdQuery,
        domain: MaybeQuery = None,
        model: MaybeQuery = None,
    ) -> schemas.ExplainOut:
        """Why an item is recommended to a user: its channels, and which of the user's own events led to it."""
        found = self.engine.explain(Ask(request.state.request, user, None, domain, model=model), item)
        return schemas.ExplainOut(**_flat(found), message=MEANING.get(found.fallback or ""))

    def events(self, request: Request, asked: schemas.EventsIn) -> schemas.EventsOut:
        """Take events in, all or none. What is answered for is on the disk; the next recommendation counts it."""
        now = time.time()
        events = [
            Event(
                each.user,
                each.domain,
                each.item,
                now if each.time is None else each.time,
                each.id,
                each.kind,
                each.request,
            )
            for each in asked.events
        ]
        return schemas.EventsOut(request=request.state.request, received=len(events), new=self.engine.record(events))

    def domains(self, model: MaybeQuery = None) -> schemas.DomainsOut:
        """The domains of a run."""
        bundle = self.engine.bundle(model or MAIN)
        found = [
            schemas.DomainOut(
                name=name,
                items=len(shelf),
                events=bundle.event_counts[name],
                served=name in bundle.serves,
                target=name == bundle.target,
                titles=shelf.titles is not None,
            )
            for name, shelf in bundle.shelves.items()
        ]
        return schemas.DomainsOut(models=list(self.engine.runs), domains=found)

    def users(
        self,
        start: Annotated[str, Query(max_length=LONGEST)] = "",
        count: Annotated[int, Query(ge=1, le=1000)] = 50,
        model: MaybeQuery = None,
    ) -> schemas.UsersOut:
        """Users in the order of their ids: those of the run and those of the store."""
        found, fallback = self.engine.users(start, count, model)
        listed = [schemas.UserOut(user=name, known=known) for name, known in found]
        following = found[-1][0] if len(found) == count else None
        return schemas.UsersOut(users=listed, next=following, fallback=fallback, message=MEANING.get(fallback or ""))

    def history(
        self, user: IdQuery, count: Annotated[int, Query(ge=1, le=1000)] = 50, model: MaybeQuery = None
    ) -> schemas.HistoryOut:
        """The latest events of a user in every domain."""
        found = self.engine.history(user, count, model)
        if found is None:
            raise HTTPException(404, f"Nothing is known of the user {user[:80]!r}.")
        domains, fallback = found
        listed = {name: [schemas.PastOut(**_flat(each)) for each in events] for name, events in domains.items()}
        return schemas.HistoryOut(user=user, domains=listed, fallback=fallback, message=MEANING.get(fallback or ""))

    def health(self) -> schemas.HealthOut:
        """Whether the process answers."""
        return schemas.HealthOut()

    def ready(self) -> schemas.ReadyOut:
        """Whether requests can be answered. Without a store they are, by fallback; events are not taken then."""
        try:
            self.engine.keeper.ask(lambda store: store.ping())
        except StoreError:
            return schemas.ReadyOut(status="ready", store="away")
        return schemas.ReadyOut(status="ready", store="ok")

    def version(self) -> schemas.VersionOut:
        """What is running: the version of every served run."""
        models = {
            name: schemas.ServedOut(
                version=(now := run.now).version,
                name=now.name,
                model=now.recommender.model.name,
                target=now.target,
                serves=list(now.serves),
                loaded=now.loaded,
                switches=run.switches,
                refused=None if run.refused is None else "A newer version could not be loaded: see the server's log.",
            )
            for name, run in self.engine.runs.items()
        }
        experiment = None if self.engine.experiment is None else self.engine.experiment.name
        return schemas.VersionOut(crossrec=__version__, models=models, experiment=experiment)

    def measured(self) -> Response:
        """What is counted, as Prometheus reads it."""
        return Response(self.metrics.text(self.engine.runs), media_type=CONTENT_TYPE_LATEST)


def create_app(engine: Engine, metrics: Metrics | None = None, limits: Limits | None = None) -> FastAPI:
    """The app of an engine, which it closes when it ends.

    Args:
        engine: answers.
        metrics: counts; the engine's meter should be the same.
        limits: token, host names and sizes.
    """
    counts = metrics or Metrics()
    service = Service(engine, counts)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        engine.close()

    app = FastAPI(title="crossrec", version=__version__, lifespan=life, docs_url=None, redoc_url=None)
    app.add_middleware(Direct, paths=app, names=("/recommend", "/events"))
    app.add_middleware(Door, limits=limits or Limits(), metrics=counts)
    app.post("/recommend", responses=ERRORS)(service.recommend)
    app.post("/events", responses=ERRORS | GONE)(service.events)
    app.get("/similar", responses=ERRORS)(service.similar)
    app.get("/explain", responses=ERRORS)(service.explain)
    app.get("/domains", responses=ERRORS)(service.domains)
    app.get("/users", responses=ERRORS)(service.users)
    app.get("/history", responses=ERRORS | MISSING | GONE)(service.history)
    app.get("/health", responses=ERRORS)(service.health)
    app.get("/ready", responses=ERRORS)(service.ready)
    app.get("/version", responses=ERRORS)(service.version)
    app.get("/metrics", responses=ERRORS, response_class=Response)(service.measured)
    app.include_router(page_router(engine, ERRORS))
    _add_pages(app)
    _add_errors(app)
    return app


def _add_pages(app: FastAPI) -> None:
    """The page, its files and the list of paths: read once, from the package."""
    folder = resources.files("crossrec.serve") / "page"
    page = (folder / "index.html").read_text(encoding="utf-8")
    files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "There is no such file.")
        return Response(files[name], media_type=FILES[name])

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not-found", 405: "wrong-method"}.get(error.status_code, "refused")
        return _error(request, error.status_code, code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        told = [f"{'.'.join(str(part) for part in each['loc'])[:200]}: {each['msg']}" for each in error.errors()[:5]]
        return _error(request, 422, "invalid", "; ".join(told))

    @app.exception_handler(InputError)
    async def unusable(request: Request, error: InputError) -> JSONResponse:
        return _error(request, 422, "invalid", str(error))

    @app.exception_handler(StoreError)
    async def away(request: Request, _: StoreError) -> JSONResponse:
        text = "The history store does not answer. Nothing was taken in: send it again."
        return _error(request, 503, "store", text, {"retry-after": "1"})


def _error(
    request: Request, status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    named = getattr(request.state, "request", "")
    return JSONResponse({"error": {"code": code, "message": message, "request": named}}, status, headers)


def _flat(answer: Any) -> dict[str, Any]:
    """The fields of a dataclass; of those within as well."""
    return dataclasses.asdict(answer)
