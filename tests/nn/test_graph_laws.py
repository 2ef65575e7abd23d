"""What growing graphs must do whatever their weights are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from crossrec.nn.fuse_gate import FuseGate

LENGTHS = (7, 1, 10, 2, 7, 4)
Same = Callable[..., None]


@pytest.mark.parametrize("repeats", [False, True])
def test_nothing_is_known_of_what_comes_later(graph_world: Any, same_vectors: Same, repeats: bool) -> None:
    world = graph_world(items=12)
    (row,) = world.rows([9], repeats)
    places = world.every([row])
    found = world.fast([row], places, asked=False)
    for t in range(1, 9):
        changed = row[:t] + [item for item in range(24, 0, -1) if item not in row][: 9 - t]
        before = [place for place in places if place[2] <= t]
        same_vectors(world.fast([changed], before, asked=False), {place: found[place] for place in before})


def test_only_behind_the_gate_is_a_later_event_of_another_domain_known(graph_world: Any) -> None:
    """The point of the reading ``post_gate``: specs of DDGHM, 7.9, P2."""
    for literal in (False, True):
        world, place = graph_world(items=4, literal=literal), (0, 0, 4)
        one, other = (world.fast([row], [place])[place] for row in ([1, 5, 2, 6], [1, 5, 2, 7]))
        assert torch.equal(one, other) == literal


@pytest.mark.parametrize("repeats", [False, True])
def test_a_row_is_the_same_in_whatever_company(graph_world: Any, same_vectors: Same, repeats: bool) -> None:
    """Longer rows beside it, any order, and cut into many journeys."""
    world = graph_world(items=4 if repeats else 12)
    rows = world.rows((6, 3, 9, 1, 6), repeats)
    expected = {(n, x, t): v for n, row in enumerate(rows) for (_, x, t), v in world.fast([row]).items()}
    same_vectors(world.fast(rows), expected)
    same_vectors(world.fast(rows, most=1), expected)
    same_vectors({(4 - n, x, t): v for (n, x, t), v in world.fast(rows[::-1]).items()}, expected)


@pytest.mark.parametrize("repeats", [False, True])
def test_one_event_more_is_what_the_whole_row_gives(graph_world: Any, same_vectors: Same, repeats: bool) -> None:
    """Streaming: the end of every beginning of a row is that place in the whole row."""
    world = graph_world(items=4 if repeats else 12)
    (row,) = world.rows([10], repeats)
    expected = world.fast([row], world.every([row]), asked=False)
    for t in range(1, 11):
        ends = [(0, x, t) for x in range(2) if (0, x, t) in expected]
        same_vectors(world.fast([row[:t]], ends), {place: expected[place] for place in ends})


def test_a_gate_that_changes_nothing_leaves_the_local_graphs(
    graph_world: Any, same_vectors: Same, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-L is DDGHM with the gate as identity; both readings are then one: specs of DDGHM, 12, item 6."""
    full, local = graph_world(items=12), graph_world(items=12, variant="local")
    local.table_VD, weights = full.table_VD, full.graphs.state_dict()
    local.graphs.load_state_dict({k: v for k, v in weights.items() if "merged" not in k and "gate" not in k})
    rows = full.rows(LENGTHS, repeats=False)
    monkeypatch.setattr(FuseGate, "forward", lambda gate, local_bnD, *rest: local_bnD)
    expected = full.fast(rows)
    same_vectors(local.fast(rows), expected)
    local.graphs.literal = full.graphs.literal = True
    same_vectors(local.fast(rows), expected)
    same_vectors(full.fast(rows), expected)


def test_the_merged_graph_alone_has_no_weights_of_domains(graph_world: Any) -> None:
    names = [name for name, _ in graph_world(variant="global").graphs.named_parameters()]
    assert {name.split(".")[0] for name in names} == {"merged", "merged_readout"}


@pytest.mark.parametrize("repeats", [False, True])
def test_steps_computed_again_change_nothing_and_nothing_is_left_to_chance(graph_world: Any, repeats: bool) -> None:
    made = []
    for again in (False, True, False):
        world = graph_world(items=4 if repeats else 12, checkpoint=again)
        total = torch.stack(list(world.fast(world.rows(LENGTHS, repeats)).values())).square().sum()
        made.append([total, *torch.autograd.grad(total, [world.table_VD, *world.graphs.parameters()])])
    for other in made[1:]:
        assert all(map(torch.equal, made[0], other))


def test_a_domain_of_which_nothing_is_known_is_read_off_the_merged_graph(graph_world: Any) -> None:
    world = graph_world(items=4)
    walk = world.walk([1, 2, 1])
    expected = walk.readout(world.graphs.merged_readout, [walk.state["all"][v] for v in (1, 2, 1)])
    place = torch.tensor([0]), torch.tensor([3])
    for asked in (True, False):
        (trace,) = world.run([[1, 2, 1]], asked=asked)
        torch.testing.assert_close(trace.vectors(1, *place)[0], expected)
    (local,) = graph_world(items=4, variant="local").run([[1, 2, 1]])
    assert not local.vectors(1, *place).any()


@pytest.mark.parametrize("convex", [False, True])
def test_states_grow_with_every_event_unless_the_gates_coefficients_are_a_softmax(
    graph_world: Any, convex: bool
) -> None:
    """The published ones have no bound, and what they multiply is carried on to the next event."""
    world = graph_world(items=40, convex=convex)
    with torch.no_grad():
        for own in world.graphs.domains:
            own.gate.weight.fill_(2.0)
        (trace,) = world.run(world.rows([60], repeats=False), asked=False)
    largest = max(grown.state_ND.abs().max() for grown in trace.parts)
    assert largest <= world.table_VD.abs().max().clamp(min=1) if convex else largest > 1e6
