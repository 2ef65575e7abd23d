"""What is asked of the engine and what it answers: plain data, without HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

COLD, AWAY = "cold", "store"
MEANING = {
    COLD: "Nothing that the model reads is known of this user: these are the most popular items.",
    AWAY: "The history store does not answer: events that came in since the run was trained did not count.",
}
"""What an answer says where it is a fallback."""


@dataclass(frozen=True)
class Filters:
    """What may be recommended."""

    seen: bool = True
    """Whether what the user has already is left out."""
    allow: Sequence[str] | None = None
    """Only these items; None: all. Unknown ones are passed over."""
    deny: Sequence[str] = ()
    """None of these."""


@dataclass(frozen=True)
class Ask:
    """One request for recommendations."""

    request: str
    user: str | None = None
    history: Sequence[tuple[str, str]] | None = None
    """(domain, item), oldest first: counts instead of what is known of the user."""
    domain: str | None = None
    """Where to recommend; None: the run's target."""
    k: int = 10
    filters: Filters = field(default_factory=Filters)
    model: str | None = None
    """Which of the served runs answers; None: the one of the user's arm, or the main one."""
    page: str = ""
    """Where it is shown, for an analysis of A/B tests."""


@dataclass(frozen=True)
class Item:
    """One recommended item."""

    item: str
    rank: int
    score: float
    channels: tuple[str, ...]
    title: str | None
    category: str | None


@dataclass(frozen=True)
class Answer:
    """Recommendations, and what they were made from."""

    request: str
    model: str
    version: str
    domain: str
    user: str | None
    arm: str | None
    fallback: str | None
    events: int
    """Events of the history that the run knows."""
    passed_over: int
    """Events of items that the run does not know."""
    items: list[Item]

    @property
    def message(self) -> str | None:
        """The fallback as a sentence."""
        return MEANING.get(self.fallback or "")


@dataclass(frozen=True)
class Trigger:
    """One of the user's own events, and what it had to do with an item."""

    domain: str
    item: str
    title: str | None
    weight: float | None
    """Cosine of the two items' vectors, times the decay with the events since; None where they have no such vectors."""
    effect: float | None
    """The item's score less the score that it would have without this event; None where nothing would be known then."""


@dataclass(frozen=True)
class Explanation:
    """Why an item is recommended."""

    request: str
    model: str
    version: str
    domain: str
    user: str | None
    item: str
    title: str | None
    category: str | None
    score: float | None
    """None for somebody of whom nothing is known."""
    rank: int | None
    """Among all candidates; None where the item is none (the user has it already)."""
    channels: tuple[str, ...]
    fallback: str | None
    triggers: list[Trigger]
    evidence: dict[str, object] | None
    """What people with like histories did, over at least ten of them; None where nobody has worked it out."""


@dataclass(frozen=True)
class Past:
    """One event of a user."""

    item: str
    title: str | None
    category: str | None
    time: float | None
    known: bool
    """Whether the run knows the item."""
    stored: bool
    """Whether it comes from the store rather than from the run's data."""
