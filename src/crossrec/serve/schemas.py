"""What goes over HTTP: every field with its limits. Ids are text of 1 to 256 characters."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from crossrec.serve.events import LONGEST, LONGEST_KIND, MOST

MOST_K = 200
"""Items of one answer."""
MOST_FILTER = 10_000
"""Items of an allow or a deny list."""
MOST_HISTORY = 1000
"""Events of a history that is sent along."""
Id = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST, description="Name of a domain.")]
ModelName = Annotated[str, Field(min_length=1, max_length=LONGEST, description="Name of a served run.")]


class Asking(BaseModel):
    """Base of what is sent in: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PastIn(Asking):
    """One event of a history."""

    domain: Name
    item: Id


class FiltersIn(Asking):
    """What may be recommended. Items that the run does not know are passed over."""

    seen: bool = Field(default=True, description="Leave out what the user already has.")
    allow: list[Id] | None = Field(default=None, max_length=MOST_FILTER, description="Only these items.")
    deny: list[Id] = Field(default_factory=list, max_length=MOST_FILTER, description="None of these.")


class RecommendIn(Asking):
    """For whom, and what. With a user and a history, the history counts instead of what is known."""

    user: Id | None = Field(default=None, description="Own id of a user, known or not.")
    history: list[PastIn] | None = Field(default=None, max_length=MOST_HISTORY, description="Events, oldest first.")
    domain: Name | None = Field(default=None, description="Where to recommend; without it, the run's target.")
    k: int = Field(default=10, ge=1, le=MOST_K, description="Items of the answer.")
    filters: FiltersIn = FiltersIn()
    model: ModelName | None = Field(
        default=None, description="Which of the served runs; without it, the one of the user's arm, or the main one."
    )
    page: str = Field(default="", max_length=LONGEST, description="Where it is shown, for A/B tests.")


class ItemOut(BaseModel):
    """One item."""

    model_config = ConfigDict(from_attributes=True)

    item: str
    rank: int
    score: float = Field(description="The model's score; of a cold answer, the number of events.")
    channels: list[str] = Field(description="u2i, u2i2i, popular: who found it.")
    title: str | None
    category: str | None


class RecommendOut(BaseModel):
    """Recommendations, and what they were made from."""

    model_config = ConfigDict(from_attributes=True)

    request: str = Field(description="Send it with the events that follow from this answer.")
    model: str
    version: str
    domain: str
    user: str | None
    arm: str | None = Field(description="Arm of the experiment, where one runs and the user is in it.")
    fallback: str | None = Field(description="cold: nothing is known of the user; store: the store is away.")
    message: str | None = Field(description="The same as a sentence.")
    events: int = Field(description="Events of the history that counted.")
    passed_over: int = Field(description="Events of items that the run does not know.")
    items: list[ItemOut]


class SimilarOut(BaseModel):
    """Items like another one; the score is the cosine of the two items' vectors."""

    request: str
    model: str
    version: str
    domain: str
    item: str
    items: list[ItemOut]


class EventIn(Asking):
    """One thing that a user did with an item."""

    user: Id
    domain: Name
    item: Id
    id: Id = Field(description="Of this event: the same id twice is one event, so send it again until it is answered.")
    time: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="Unix seconds; without it, now.")
    kind: str = Field(
        default="click", min_length=1, max_length=LONGEST_KIND, description="An impression is no history."
    )
    request: Id | None = Field(default=None, description="Of the answer that showed the item.")


class EventsIn(Asking):
    """Events of one call: taken in all or none."""

    events: list[EventIn] = Field(min_length=1, max_length=MOST)


class EventsOut(BaseModel):
    """What was taken in, and is on the disk."""

    request: str
    received: int
    new: int = Field(description="The others were known by their ids.")


class TriggerOut(BaseModel):
    """One of the user's own latest events."""

    domain: str
    item: str
    title: str | None
    weight: float | None = Field(description="Cosine of the two items, less with every event since; null: no vectors.")
    effect: float | None = Field(description="The item's score less the one without this event; null: none is left.")


class ExplainOut(BaseModel):
    """Why an item."""

    request: str
    model: str
    version: str
    domain: str
    user: str | None
    item: str
    title: str | None
    category: str | None
    score: float | None
    rank: int | None = Field(description="Among the candidates; null where it is none, as what the user has already.")
    channels: list[str]
    fallback: str | None
    message: str | None
    triggers: list[TriggerOut] = Field(description="The newest first.")
    evidence: dict[str, object] | None = Field(description="What at least ten people with like histories did.")


class DomainOut(BaseModel):
    """One domain of the run."""

    name: str
    items: int
    events: int
    served: bool = Field(description="Whether the run recommends in it.")
    target: bool
    titles: bool


class DomainsOut(BaseModel):
    """The domains, and the names of the runs that are served."""

    models: list[str]
    domains: list[DomainOut]


class UserOut(BaseModel):
    """One user."""

    user: str
    known: bool = Field(description="Whether the run knows the user; if not, only the store does.")


class UsersOut(BaseModel):
    """A page of users in the order of their ids."""

    users: list[UserOut]
    next: str | None = Field(description="Give it as `start` for the next page; null at the end.")
    fallback: str | None
    message: str | None


class PastOut(BaseModel):
    """One event of a user."""

    item: str
    title: str | None
    category: str | None
    time: float | None
    known: bool = Field(description="Whether the run knows the item.")
    stored: bool = Field(description="Whether it came in since the run was trained.")


class HistoryOut(BaseModel):
    """The latest events of a user, oldest first."""

    user: str
    domains: dict[str, list[PastOut]]
    fallback: str | None
    message: str | None


class ServedOut(BaseModel):
    """One of the served runs."""

    version: str = Field(description="Hash of config, weights and data.")
    name: str = Field(description="Name of the version; empty where the run folder itself is served.")
    model: str
    target: str
    serves: list[str]
    loaded: float = Field(description="Unix seconds.")
    switches: int
    refused: str | None = Field(description="Why a newer version was refused.")


class VersionOut(BaseModel):
    """What is running."""

    crossrec: str
    models: dict[str, ServedOut]
    experiment: str | None


class HealthOut(BaseModel):
    """The process answers."""

    status: str = "ok"


class ReadyOut(BaseModel):
    """Whether requests can be answered; without a store, recommendations are, by fallback, and events are not taken."""

    status: str
    store: str


class Wrong(BaseModel):
    """What is wrong."""

    code: str
    message: str
    request: str


class ErrorOut(BaseModel):
    """Every error has this shape."""

    error: Wrong
