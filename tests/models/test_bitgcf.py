"""BiTGCF."""

from __future__ import annotations

import numpy as np
import torch

from crossrec.models.bitgcf import BiTGCF
from crossrec.testing import ModelTests
from crossrec.testing import graph_worlds as worlds

THREE = {**worlds.EDGES, "books": [[0], [1, 2], []]}
SIZES = {**worlds.SIZES, "books": 3}


class TestBiTGCF(ModelTests):
    model = BiTGCF(dim=16, layers=2)
    least = 0.5


def looped(matrix):
    with_loops = matrix + np.eye(len(matrix))
    return with_loops / with_loops.sum(1, keepdims=True)


def mixed(users, degrees, own):
    """Users' rows of every domain after the transfer, one user after the other."""
    result = [rows.copy() for rows in users]
    for u in range(len(users[0])):
        inside = [x for x, degree in enumerate(degrees) if degree[u]]
        if len(inside) < 2:
            continue
        common = sum(degrees[x][u] * users[x][u] for x in inside) / sum(degrees[x][u] for x in inside)
        for x in inside:
            others = np.mean([users[y][u] for y in inside if y != x], axis=0)
            result[x][u] = (common + own * users[x][u] + (1 - own) * others) / 2
    return result


def tables(model):
    """First vectors of every domain's users, padding and items."""
    users, items = (worlds.weights(part) for part in model.nodes.parted(model.weight))
    parts = np.split(users, len(model.reads))
    return [
        np.concatenate([own, items[:1], items[model.nodes.rows_of(name)]])
        for own, name in zip(parts, model.reads, strict=True)
    ]


def by_hand(model, split, edges):
    """Final vectors of every domain's nodes."""
    names = model.reads
    degrees = [np.array([len(items) for items in edges[name]]) for name in names]
    graphs = [looped(worlds.adjacency(split, [name], edges)) for name in names]
    states = tables(model)

    def shown(states):
        result = [state.copy() for state in states]
        for u in range(len(degrees[0])):
            total = sum(degree[u] for degree in degrees)
            for x, degree in enumerate(degrees):
                if total and not degree[u]:
                    result[x][u] = sum(d[u] * state[u] for d, state in zip(degrees, states, strict=True)) / total
        return result

    layers = [shown(states)]
    users = split.data.num_users
    for _ in range(model.config.layers):
        states = [graph @ e + e * (graph @ e) for graph, e in zip(graphs, states, strict=True)]
        people = mixed([e[:users] for e in states], degrees, model.config.own)
        states = [np.concatenate([p, e[users:]]) for p, e in zip(people, states, strict=True)]
        layers.append([worlds.unit(e) for e in shown(states)])
    return [np.concatenate(each, 1) for each in zip(*layers, strict=True)]


def test_scores_are_those_of_dense_matrices():
    """Of three users in two domains; the second has no game, and of games the vector that toys made."""
    split = worlds.world()
    model = worlds.made(BiTGCF, split, layers=2)
    for x, name in enumerate(model.reads):
        e = by_hand(model, split, worlds.EDGES)[x]
        np.testing.assert_allclose(worlds.scores(model, split, name), e[:3] @ e[4:].T, rtol=1e-5, atol=1e-7)


def test_three_domains():
    split = worlds.world(THREE, SIZES)
    model = worlds.made(BiTGCF, split, layers=2, own=0.6)
    for x, name in enumerate(model.reads):
        e = by_hand(model, split, THREE)[x]
        np.testing.assert_allclose(worlds.scores(model, split, name), e[:3] @ e[4:].T, rtol=1e-5, atol=1e-7)


def test_an_empty_source_changes_nothing():
    edges = {**worlds.EDGES, "books": [[], [], []]}
    split = worlds.world(edges, SIZES)
    three, two = (BiTGCF(dim=4).build(split.data.catalogue, "toys", names) for names in (["games", "books"], ["games"]))
    two.weight.data[:6], two.weight.data[6:] = three.weight.data[:6], three.weight.data[9:-3]
    for model in (two, three):
        model.learn(split)
        model.double().eval()
    for name in ("toys", "games"):
        np.testing.assert_allclose(worlds.scores(two, split, name), worlds.scores(three, split, name))
    assert np.isfinite(worlds.scores(three, split, "books")).all()


def test_transfer_weighs_by_the_training_rows_alone():
    """Degrees are counted anew for every split, and no held-out event is among them."""
    split = worlds.world()
    model = worlds.made(BiTGCF, split)
    assert model.degree_XU.tolist() == [[3, 1, 2], [2, 0, 2]]
    assert sum(map(len, split.events.within(split.train, "toys"))) == 2 * 6
    assert {tuple(weight.shape) for weight in model.parameters()} == {(2 * 3 + 12, 4)}, "no matrices besides"


def test_items_and_users_of_one_domain_are_not_mixed():
    """In the layer itself: further layers read those who are."""
    split = worlds.world({"toys": worlds.EDGES["toys"], "games": [[], [0, 1], []]})
    model = worlds.made(BiTGCF, split, layers=1)
    alone = BiTGCF(dim=4, layers=1).build(split.data.catalogue, "toys").double()
    alone.weight.data.copy_(torch.as_tensor(tables(model)[0]))
    alone.learn(split)
    alone.eval()
    with torch.no_grad():
        apart, together = alone.vectors(), model.vectors()
    torch.testing.assert_close(apart.user_ND[[0, 2]], together.user_ND[[0, 2]])
    torch.testing.assert_close(apart.item_RD, together.item_RD[:8])
    assert not torch.allclose(apart.user_ND[1], together.user_ND[1])
