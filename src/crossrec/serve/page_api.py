"""Two paths that the page adds: why an item, also for a history that is sent along; and categories side by side."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from crossrec.serve import recall, schemas
from crossrec.serve.asked import MEANING, Ask
from crossrec.serve.bundle import Bundle
from crossrec.serve.engine import MAIN, Engine
from crossrec.serve.explain import (
    Evidence,
    Shares,
    cocoon,
    divergence,
    entropy,
    shares_of,
    shares_of_people,
    wide,
)


class WhyIn(schemas.Asking):
    """For whom, and what is explained."""

    item: schemas.Id
    user: schemas.Id | None = None
    history: list[schemas.PastIn] | None = Field(default=None, max_length=schemas.MOST_HISTORY)
    domain: schemas.Name | None = None
    model: schemas.ModelName | None = None


class CategoriesIn(schemas.Asking):
    """Whose history and list are looked at."""

    user: schemas.Id | None = None
    history: list[schemas.PastIn] | None = Field(default=None, max_length=schemas.MOST_HISTORY)
    domain: schemas.Name | None = None
    k: int = Field(default=50, ge=1, le=schemas.MOST_K, description="Items of the list.")
    model: schemas.ModelName | None = None


class ShareOut(BaseModel):
    """One category."""

    category: str
    share: float


class SharesOut(BaseModel):
    """A distribution over categories."""

    items: int
    known: int = Field(description="Items whose category is known; the others do not count.")
    shares: list[ShareOut] = Field(description="The largest first; they sum to 1.")


class PeopleOut(BaseModel):
    """What people with a like taste have."""

    domain: str = Field(description="Where their taste is alike.")
    people: int = Field(description="Ten or more.")
    shares: SharesOut


class WidthOut(BaseModel):
    """How wide a list is; null where no category is known."""

    entropy: float | None = Field(description="In bits.")
    cocoon: float | None = Field(description="Share of the largest category.")
    wide: int | None = Field(description="Categories with 5% or more.")
    from_history: float | None = Field(
        description="Jensen-Shannon divergence from the history in the same domain, bits."
    )


class NamedOut(BaseModel):
    """One event of a history that was sent along."""

    domain: str
    item: str
    title: str | None
    category: str | None
    known: bool


class CategoriesOut(BaseModel):
    """Categories of a history, of the list that it leads to, and of what people with a like taste have."""

    request: str
    model: str
    version: str
    domain: str
    history: dict[str, SharesOut] = Field(description="Of every domain.")
    recommended: SharesOut
    people: list[PeopleOut] = Field(description="Per domain of the history, where there are ten or more.")
    width: WidthOut
    named: list[NamedOut] = Field(description="The history that was sent along, oldest first.")


class Paths:
    """The two paths of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.evidence = engine.evidence if isinstance(engine.evidence, Evidence) else Evidence()

    def explain(self, request: Request, asked: WhyIn) -> schemas.ExplainOut:
        """Why an item is recommended, to a user or for a history that is sent along."""
        about = (asked.user, _pairs(asked.history), asked.domain)
        found = self.engine.explain(Ask(request.state.request, *about, model=asked.model), asked.item)
        return schemas.ExplainOut(**dataclasses.asdict(found), message=MEANING.get(found.fallback or ""))

    def categories(self, request: Request, asked: CategoriesIn) -> CategoriesOut:
        """Categories of a history and of its list side by side, and those of people with a like taste."""
        model = asked.model or MAIN
        bundle, told = self.engine.bundle(model), _pairs(asked.history)
        answer = self.engine.recommend(Ask(request.state.request, asked.user, told, asked.domain, asked.k, model=model))
        if told is not None:
            known = recall.told(bundle, told, asked.user)
        else:
            known = recall.of_user(bundle, self.engine.keeper, str(asked.user))
        history, domain = recall.pairs_of(bundle, known), answer.domain
        past = {name: shares_of(_texts(bundle, history, name)) for name in bundle.shelves}
        listed = shares_of([each.category for each in answer.items])
        return CategoriesOut(
            request=answer.request,
            model=model,
            version=bundle.version,
            domain=domain,
            history={name: _out(shares) for name, shares in past.items()},
            recommended=_out(listed),
            people=self._people(bundle, history, domain),
            width=_width(listed, past[domain]),
            named=_named(bundle, told or []),
        )

    def _people(self, bundle: Bundle, history: recall.Pairs, domain: str) -> list[PeopleOut]:
        crowd = self.evidence.crowd(bundle)
        return [
            PeopleOut(domain=each.domain, people=len(each.person_M), shares=_out(shares))
            for each in self.evidence.people(bundle, history, domain)
            if (shares := shares_of_people(bundle, crowd, each, domain)).known
        ]


def page_router(engine: Engine, responses: dict[int | str, dict[str, Any]]) -> APIRouter:
    """The paths, to be included in the app of an engine. ``responses``: its errors, for the list of paths."""
    router, paths = APIRouter(), Paths(engine)
    router.post("/explain", responses=responses)(paths.explain)
    router.post("/categories", responses=responses)(paths.categories)
    return router


def _pairs(history: list[schemas.PastIn] | None) -> list[tuple[str, str]] | None:
    return None if history is None else [(each.domain, each.item) for each in history]


def _texts(bundle: Bundle, history: recall.Pairs, domain: str) -> list[str | None]:
    """Categories of the events of one domain."""
    items = [item for name, item in history if name == domain]
    shelf = bundle.shelf(domain)
    return [shelf.category(place) for place in bundle.places(domain, items).tolist() if place >= 0]


def _named(bundle: Bundle, history: recall.Pairs) -> list[NamedOut]:
    """The events of a history with what the run knows of their items."""
    places: dict[tuple[str, str], int] = {}
    for domain in dict.fromkeys(domain for domain, _ in history):
        items = list({item for name, item in history if name == domain})
        found = bundle.places(domain, items).tolist()
        places.update(((domain, item), place) for item, place in zip(items, found, strict=True))
    made = []
    for domain, item in history:
        shelf, place = bundle.shelf(domain), places[domain, item]
        texts = (shelf.title(place), shelf.category(place)) if place >= 0 else (None, None)
        made.append(NamedOut(domain=domain, item=item, title=texts[0], category=texts[1], known=place >= 0))
    return made


def _out(shares: Shares) -> SharesOut:
    listed = [ShareOut(category=name, share=share) for name, share in shares.shares.items()]
    return SharesOut(items=shares.items, known=shares.known, shares=listed)


def _width(listed: Shares, past: Shares) -> WidthOut:
    if not listed.known:
        return WidthOut(entropy=None, cocoon=None, wide=None, from_history=None)
    away = divergence(listed.shares, past.shares) if past.known else None
    return WidthOut(
        entropy=entropy(listed.shares), cocoon=cocoon(listed.shares), wide=wide(listed.shares), from_history=away
    )
