"""What keeps a bad update from being served: held-out newest events, and how far the known has drifted.

N instances, V items, U users, D width, k items of a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from crossrec.data.batches import Batcher
from crossrec.data.splits import Events, GlobalTime, Part, Rows, Split
from crossrec.data.vocabulary import Ints
from crossrec.errors import DataError
from crossrec.evaluation import metrics, ranks
from crossrec.evaluation.metrics import Floats
from crossrec.recommender import Recommender
from crossrec.serve.update_report import Drift, Held, UpdateConfig

TOP = 10
"""Items of the lists that are compared."""


def metric_of(old: Recommender) -> str:
    """The metric by which a run is judged: its own where it ranks."""
    own = str((old.recipe.get("train") or {}).get("metric", ""))
    return own if re.fullmatch(r"(hr|ndcg|mrr)@\d+|mrr|auc", own) else "ndcg@10"


def looked(
    old: Recommender, new: Recommender, split: Split, user_N: Ints
) -> tuple[tuple[Held, ...], tuple[Drift, ...]]:
    """What is to be known of a new version, in every domain that is served. ``user``: whose lists are compared."""
    metric, domains = metric_of(old), old.model.serves()
    newest = [held(old, new, part, metric) for part in parts(split, domains) if len(part)]
    known = [found for name in domains if (found := remembered(old, new, name, user_N, metric)) is not None]
    return (*newest, *known), tuple(drift(old, new, name, user_N) for name in domains)


def held(old: Recommender, new: Recommender, part: Part, metric: str) -> Held:
    """Both models on the same held-out events, among all items of the domain."""
    size = len(new.data.catalogue.block(part.target))
    before_N = np.full(len(part), float(size))
    theirs, known_N = seen_by(old, new, part)
    before_N[known_N] = ranks.full(old.model, _batcher(old, theirs.events), theirs)
    after_N = ranks.full(new.model, _batcher(new, part.events), part)
    count_N = np.full(len(part), size)
    figures = (metrics.per_user(metric, rank_N, count_N) for rank_N in (before_N, after_N))
    return _compared("newest", part.target, metric, *figures)


def seen_by(old: Recommender, new: Recommender, part: Part) -> tuple[Part, Ints]:
    """A part as the old model sees it: unknown items are passed over, new users are strangers. And which instances of the
    part ask for an item that it knows.
    """
    back_V = np.zeros(new.data.catalogue.num_ids, np.int64)
    back_V[old.data.catalogue.moved_to(new.data.catalogue)] = np.arange(old.data.catalogue.num_ids)
    item_E = back_V[part.events.item_E]
    keep_E = item_E > 0
    before_E1 = np.concatenate([[0], np.cumsum(keep_E)])
    time_E = None if part.events.time_E is None else np.asarray(part.events.time_E)[keep_E]
    events = Events(old.data.catalogue, item_E[keep_E].astype(np.int32), time_E)
    known_N = np.flatnonzero(keep_E[part.at_N])
    user_N = np.where(part.user_N < old.data.num_users, part.user_N, -1)[known_N]
    start_N, stop_N, at_N = (before_E1[place_N[known_N]] for place_N in (part.start_N, part.stop_N, part.at_N))
    seen = Rows(user_N, start_N, stop_N)
    return Part(part.name, part.target, events, old.data, user_N, start_N, stop_N, at_N, seen), known_N


def drift(old: Recommender, new: Recommender, domain: str, user_N: Ints) -> Drift:
    """How far known items and the lists of these known users have moved."""
    best = [_best(each, old, domain, user_N) for each in (old, new)]
    kept = [len(np.intersect1d(a, b)) / max(len(a), 1) for a, b in zip(*best, strict=True)]
    return Drift(domain, _distance(old, new, domain), float(np.mean(kept)) if kept else 1.0, len(user_N))


def remembered(old: Recommender, new: Recommender, domain: str, user_N: Ints, metric: str) -> Held | None:
    """Both models on the last event in a domain that these users had before the update; None where they had none."""
    data = old.data
    at_D = Events(data.catalogue, data.item_E).positions(domain)
    end_N = np.searchsorted(at_D, data.offset_U1[user_N + 1]) - 1
    has_N = end_N >= np.searchsorted(at_D, data.offset_U1[user_N])
    user_N, at_N = user_N[has_N], at_D[end_N[has_N]]
    start_N = data.offset_U1[user_N]
    asked_N = at_N > start_N
    user_N, start_N, at_N = user_N[asked_N], start_N[asked_N], at_N[asked_N]
    if not len(user_N):
        return None
    figures = []
    for each in (old, new):
        events, seen = _then(each, old), Rows(user_N, start_N, at_N)
        part = Part("known", domain, events, data, user_N, start_N, at_N, at_N, seen)
        rank_N = ranks.full(each.model, _batcher(each, events), part)
        figures.append(metrics.per_user(metric, rank_N, np.full(len(part), len(each.data.catalogue.block(domain)))))
    return _compared("known", domain, metric, *figures)


def _compared(which: str, domain: str, metric: str, was_N: Floats, now_N: Floats) -> Held:
    error = float((now_N - was_N).std() / np.sqrt(len(was_N)))
    return Held(domain, which, len(was_N), metric, float(was_N.mean()), float(now_N.mean()), error)


def _then(asked: Recommender, old: Recommender) -> Events:
    """What was known before the update, by the ids of either model."""
    catalogue, data = asked.data.catalogue, old.data
    item_E = data.catalogue.moved_to(catalogue)[data.item_E].astype(np.int32)
    return Events(catalogue, item_E, None if data.time_E is None else np.asarray(data.time_E))


def _best(asked: Recommender, old: Recommender, domain: str, user_N: Ints) -> Ints:
    """Places of the users' ten best among the items that the old model knows, given what they had then: (N, k)."""
    data = old.data
    size, batcher, found = len(data.catalogue.block(domain)), _batcher(asked, _then(asked, old)), []
    for each_N in np.array_split(user_N, max(1, -(-len(user_N) // ranks.ROWS))):
        user, start, stop = (
            torch.as_tensor(place_N, device=asked.device)
            for place_N in (each_N, data.offset_U1[each_N], data.offset_U1[each_N + 1])
        )
        with torch.no_grad():
            batch = batcher.batch(domain, user, start, torch.arange(len(user), device=asked.device), stop, None)
            score_NV = asked.model.scores(batch, domain)[:, :size]
            found.append(score_NV.topk(min(TOP, size), 1).indices.cpu().numpy())
    return np.concatenate(found)


def _distance(old: Recommender, new: Recommender, domain: str) -> float | None:
    if not (old.model.product and new.model.product):
        return None
    with torch.no_grad():
        was_VD, now_VD = (each.model.item_block(domain).float().cpu() for each in (old, new))
        if was_VD.shape[1] != now_VD.shape[1]:
            return None
        now_VD = now_VD[: len(was_VD)]
        still_V = (was_VD == now_VD).all(1)
        return float((1 - F.cosine_similarity(was_VD, now_VD, dim=1)).masked_fill(still_V, 0.0).mean())


def _batcher(asked: Recommender, events: Events) -> Batcher:
    return Batcher(events, asked.model.views(), asked.device)


def parts(split: Split, domains: tuple[str, ...]) -> Iterator[Part]:
    """What the guard asks, in every domain that has newest events."""
    yield split.test
    for domain in domains:
        if domain != split.target:
            try:
                yield GlobalTime(domain, split.spec["valid"], split.spec["test"]).apply(split.data).test
            except DataError:  # nothing of the domain is that new
                continue


def against(held: tuple[Held, ...], moved: tuple[Drift, ...], target: str, config: UpdateConfig) -> Iterator[str]:
    """A sentence for every guard that refuses."""
    users = next((each.users for each in held if each.domain == target and each.events == "newest"), 0)
    if users < config.least:
        yield f"Only {users} users have held-out events in {target!r}, and {config.least} are needed to judge (least)."
    for each in held:
        if each.users >= config.least and each.after < (1 - config.drop) * each.before - each.error:
            yield (
                f"In {each.domain!r} {each.metric} on the {each.events} events fell from {each.before:.4f} to {each.after:.4f}, "
                f"by more than {config.drop:.0%} and its standard error (drop)."
            )
    for one in moved:
        if one.vectors is not None and not one.vectors <= config.drift:
            yield (
                f"In {one.domain!r} the vectors of known items have moved by a mean cosine distance of {one.vectors:.3f}, "
                f"more than {config.drift:g} (drift)."
            )
        if one.kept < config.kept:
            yield (
                f"In {one.domain!r} known users keep {one.kept:.0%} of their ten best known items, less than "
                f"{config.kept:.0%} (kept)."
            )
