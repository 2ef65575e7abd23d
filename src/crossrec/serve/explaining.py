"""Why an item: what the events of somebody's own history have to do with it. What others did is worked out elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from crossrec.retrieve.pools import Pool
from crossrec.serve.asked import Trigger
from crossrec.serve.bundle import Bundle
from crossrec.serve.recall import Pairs

if TYPE_CHECKING:
    from crossrec.serve.engine import Job

LATEST = 20
"""Events that are looked at: the latest ones."""


def effects(ask: Callable[[Sequence[Job]], Sequence[Pool]], job: Job) -> tuple[float | None, list[float | None]]:
    """The score of the one item that a job allows, and what each of the latest events adds to it, oldest first.

    The model is asked again without the event. None: of somebody of whom nothing else is known there is no score.
    """
    ids = job.known.ids
    without = [np.delete(ids, at) for at in range(max(0, len(ids) - LATEST), len(ids))]
    jobs = [replace(job, known=replace(job.known, ids=left, own=False)) for left in without]
    score, *others = (_score(pool) for pool in ask([job, *jobs]))
    return score, [None if score is None or other is None else score - other for other in others]


def weights(bundle: Bundle, domain: str, place: int, history: Pairs, parts: Sequence[float | None]) -> list[Trigger]:
    """The latest events with their weights as triggers of the channel u2i2i, the newest first."""
    latest = history[len(history) - len(parts) :]
    cosines = _cosines(bundle, domain, place, latest)
    found, age = [], 0
    decay = bundle.channels(domain).config.decay
    for (name, item), part, cosine in reversed(list(zip(latest, parts, cosines, strict=True))):
        title = bundle.shelf(name).title(int(bundle.places(name, [item])[0]))
        found.append(Trigger(name, item, title, None if cosine is None else cosine * decay**age, part))
        age += cosine is not None
    return found


def _score(pool: Pool) -> float | None:
    return None if pool.cold or not len(pool) else float(pool.score_C[0])


def _cosines(bundle: Bundle, domain: str, place: int, events: Pairs) -> list[float | None]:
    """Cosine of an item with each of some others; None where there are no vectors."""
    neighbours = bundle.channels(domain).neighbours
    if neighbours is None or not events:
        return [None] * len(events)
    ids = np.array([bundle.shelf(name).first + int(bundle.places(name, [item])[0]) for name, item in events])
    model = bundle.recommender.model
    with torch.no_grad():
        asked = torch.as_tensor(np.append(ids, bundle.shelf(domain).first + place), device=model.device)
        unit_ND = F.normalize(model.items(asked), dim=1)
        cosine_N = (unit_ND[:-1] @ unit_ND[-1]).cpu().numpy()
    return [float(cosine) if neighbours.has_N[one] else None for one, cosine in zip(ids, cosine_N, strict=True)]
