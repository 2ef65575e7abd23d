"""Growing graphs, many rows at once, against Algorithm 1 written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

LENGTHS = (7, 1, 10, 2, 7, 4)
KINDS = {"path": False, "repeats": True}
CASES = [
    *((kind, steps, domains, {}) for kind in KINDS for steps, domains in ((1, 2), (2, 3), (3, 2))),
    *((kind, 1, 2, {"variant": name}) for kind in KINDS for name in ("local", "global", "gru")),
    *((kind, 1, 2, {"literal": True}) for kind in KINDS),
    *((kind, 1, 2, {"convex": True}) for kind in KINDS),
]


@pytest.mark.parametrize(("kind", "steps", "domains", "settings"), CASES)
def test_all_rows_at_once_are_event_by_event(
    graph_world: Any, same_vectors: Callable[..., None], kind: str, steps: int, domains: int, settings: dict[str, Any]
) -> None:
    """When events are due, wherever else, and in all gradients."""
    repeats = KINDS[kind]
    world = graph_world(domains, items=3 if repeats else 6, steps=steps, **settings)
    rows = world.rows(LENGTHS, repeats)
    found, expected = world.fast(rows), world.slow(rows)
    same_vectors(found, expected)
    weights, made = [world.table_VD, *world.graphs.parameters()], []
    for vectors in (found, expected):
        total = sum((vectors[place] * (at + 1)).sum() for at, place in enumerate(world.due(rows)))
        made.append(torch.autograd.grad(total, weights, materialize_grads=True))
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-9)
    with torch.no_grad():
        places = world.every(rows)
        same_vectors(world.fast(rows, places, asked=False), world.slow(rows, places))


@pytest.mark.parametrize(
    "settings", [{}, {"variant": "local"}, {"variant": "global"}, {"variant": "gru"}, {"steps": 2}]
)
def test_on_rows_without_repeats_matrices_and_shifts_are_one(
    graph_world: Any, same_vectors: Callable[..., None], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = graph_world(items=12, **settings)
    rows = world.rows(LENGTHS, repeats=False)
    places = world.every(rows)
    due, everywhere = world.fast(rows), world.fast(rows, places, asked=False)
    monkeypatch.setattr("crossrec.nn.journeys.again", lambda item_bl: torch.ones(len(item_bl), dtype=torch.bool))
    same_vectors(world.fast(rows), due)
    same_vectors(world.fast(rows, places, asked=False), everywhere)


@pytest.mark.parametrize("repeats", [False, True])
def test_rows_of_one_event_of_one_domain_and_very_long_ones(
    graph_world: Any, same_vectors: Callable[..., None], repeats: bool
) -> None:
    world = graph_world(items=20 if repeats else 150, dim=3)
    rows = [[1], *world.rows([200], repeats), [2, 3, 4, 5]]
    with torch.no_grad():
        found = world.fast(rows)
        assert torch.isfinite(torch.stack(list(found.values()))).all()
        chosen = [place for place in found if place[0] != 1 or place[2] in (40, 200)]
        same_vectors({place: found[place] for place in chosen}, world.slow(rows, chosen), within=1e-9)
