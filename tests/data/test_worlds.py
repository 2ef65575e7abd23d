"""Parameters of worlds: what they mean, and what no world can have."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from crossrec.data.worlds import World
from crossrec.errors import InputError


def test_domains_by_number_or_name() -> None:
    assert World(domains=2).names == ("toys", "games")
    assert World(domains=10, users=10, overlap=0).names[7:] == ("travel", "domain9", "domain10")
    assert World(domains=["video", "live"]).names == ("video", "live")


def test_one_number_or_one_per_domain() -> None:
    world = World(items={"toys": 400, "games": 200}, events={"toys": 4, "games": 20.5})
    assert world.sizes == {"toys": 400, "games": 200}
    assert world.mean_events == {"toys": 4, "games": 20.5}
    assert World(items=100).sizes == {"toys": 100, "games": 100}


def test_strengths_of_pairs() -> None:
    world = World(domains=["a", "b", "c"], transfer={("a", "b"): 0.8, "c:b": 0.1})
    assert world.strengths.tolist() == [[1, 0.8, 0], [0.8, 1, 0.1], [0, 0.1, 1]]
    np.testing.assert_allclose(world.correlations, np.sin(np.pi / 2 * world.strengths))
    assert World(domains=3, transfer=0.5).strengths.tolist() == [[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]]
    for strength in (0.0, 1.0):
        expected = np.eye(3) if strength == 0 else np.ones((3, 3))
        np.testing.assert_array_equal(World(domains=3, transfer=strength).correlations, expected)


def test_parameters_are_json_and_make_the_world_again() -> None:
    world = World(
        domains=["a", "b"],
        items={"a": 200, "b": 300},
        users=int(np.int64(50)),
        overlap=np.float64(0.5),
        transfer={("a", "b"): np.float64(0.5)},
        seed=7,
    )
    again = World(**json.loads(json.dumps(world.parameters())))
    assert again.parameters() == world.parameters()
    assert again.strengths.tolist() == world.strengths.tolist()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": -5}, r"users=-5: give a whole number, 2 or more"),
        ({"users": 1}, "one for each domain at least"),
        ({"users": 20.5}, r"users=20.5: give a whole number"),
        ({"users": "20"}, "users='20': give a whole number"),
        ({"users": True}, "users=True"),
        ({"domains": 0}, "domains=0: give a whole number, 1 or more"),
        ({"domains": []}, "domains is empty"),
        ({"domains": "toys"}, "give a number or a list of names"),
        ({"domains": ["toys", "toys"]}, "two domains share a name"),
        ({"domains": ["toys", "Toys"]}, "two domains share a name"),
        ({"domains": ["toys", "items"]}, "'items' cannot name a domain"),
        ({"domains": ["toys", "../games"]}, r"'\.\./games' cannot name a domain"),
        ({"domains": ["toys", 3]}, "3 cannot name a domain"),
        ({"interests": 1}, "interests=1: give a whole number, 2 or more"),
        ({"items": 30}, "items of 'toys'=30: give a whole number, 40 or more .two for each interest"),
        ({"items": {"toys": 400, "game": 400}}, "items names the domain 'game', .* Did you mean 'games'"),
        ({"items": {"toys": 400}}, "items says nothing of games"),
        ({"events": 2}, "events=2 for 'toys': give a mean of 3 or more"),
        ({"events": {"toys": 5, "games": float("nan")}}, "events=nan for 'games'"),
        ({"events": float("inf")}, "events=inf"),
        ({"overlap": 1.2}, "overlap=1.2: give a share between 0 and 1"),
        ({"overlap": float("nan")}, "overlap=nan: give a share"),
        ({"overlap": 0.001, "users": 100}, "overlap=0.001 of 100 users in 2 domains is less than one user"),
        ({"transfer": 1.5}, "transfer=1.5: give a share between 0 and 1"),
        ({"transfer": -0.1}, "transfer=-0.1: give a share"),
        ({"transfer": {("toys", "games"): 2}}, "transfer of toys, games=2: give a share"),
        ({"transfer": {("toys", "gmes"): 0.5}}, "transfer names the domain 'gmes', .* Did you mean 'games'"),
        ({"transfer": {"toys": 0.5}}, "transfer has the key 'toys'; a key is a pair"),
        ({"transfer": {("toys", "toys"): 0.5}}, "a key is a pair of two domains"),
        ({"transfer": {("toys", "games"): 0.5, "games:toys": 0.6}}, "names the pair games, toys twice"),
        ({"tail": -1}, "tail=-1: give an exponent of 0 or more"),
        ({"tail": 3.0}, "makes one item 83% of its interest"),
        ({"drift": 1.1}, "drift=1.1: give a share"),
        ({"outliers": -1}, "outliers=-1: give a share"),
        ({"sequence": 1}, "sequence=1 leaves no event"),
        ({"days": 0}, "days=0: give a whole number, 1 or more"),
        ({"resolution": "hour"}, "resolution='hour' is not known; give 'second' or 'day'"),
        ({"seed": -1}, "seed=-1: give a whole number, 0 or more"),
    ],
)
def test_impossible_worlds(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        World(**wrong)


def test_strengths_that_contradict_each_other() -> None:
    with pytest.raises(InputError, match=r"toys:games=0.9, toys:books=0, games:books=0.9\) is impossible") as caught:
        World(domains=3, transfer={"toys:games": 0.9, "games:books": 0.9})
    assert "weaken the strongest" in str(caught.value)
    World(domains=3, transfer={"toys:games": 0.9, "games:books": 0.9, "toys:books": 0.8})
