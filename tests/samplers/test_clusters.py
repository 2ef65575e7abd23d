"""K-means on the sphere, the scale of the filter and outliers: specs of RealHNS, sections 5.2, 5.4 and 5.5."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from crossrec.samplers import clusters
from crossrec.samplers.clusters import Clusters, kmeans, means, nearest, outliers


def at(*degrees: float) -> Tensor:
    """Unit vectors of the plane."""
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


A, B = (0.0, 20.0, -20.0), (90.0, 100.0, 80.0)


@pytest.mark.parametrize(("second", "scale"), [(B, 4.752632), ((90.0,), 4.803016)])
def test_golden_scale(second, scale) -> None:
    """Specs of RealHNS, G1: the mean of the clusters' means, not that of the items (4.704525 where one is larger)."""
    unit = at(*A, *second)
    found = kmeans(unit, 2, generator(), start_KD=unit[[0, 3]])
    torch.testing.assert_close(
        found.centre_KD[0], torch.tensor([0.959795, 0.0], dtype=torch.float64), atol=5e-7, rtol=0
    )
    assert found.label_N.tolist() == [0] * 3 + [1] * len(second)
    assert 5 * found.scale() == pytest.approx(scale, abs=1e-6)
    own = (unit * found.centre_KD[found.label_N]).sum(1)
    each = [float(own[found.label_N == k].mean()) for k in range(2)]
    assert found.scale() == pytest.approx(sum(each) / 2), "the identity |centre|^2 = mean product of its members"


@pytest.mark.parametrize(("share", "expected"), [(0.4, [0, 4]), (0.1, []), (1.0, [0, 1, 2, 3, 4]), (0.6, [0, 1, 4])])
def test_golden_outliers(share, expected) -> None:
    """Specs of RealHNS, G3: one cluster; of five users the fifth and the first stand out, and a tenth of five is none."""
    target = at(0, 10, 20, 60, 120)
    one = Clusters(torch.ones(1, 2), torch.zeros(5, dtype=torch.int64), torch.tensor([5]))
    mean_KD, _ = means(target, one.label_N, torch.zeros(1, 2, dtype=torch.float64))
    assert mean_KD[0].tolist() == pytest.approx([0.584900, 0.449544], abs=1e-6)
    product = 5 * target @ mean_KD[0]
    assert product.tolist() == pytest.approx([2.924500, 3.270383, 3.516897, 3.408832, 0.484332], abs=1e-6)
    assert outliers(target, one, mean_KD, share).nonzero()[:, 0].tolist() == expected


def test_every_cluster_has_its_own_outliers() -> None:
    """Compared with the own cluster's mean, whatever the others are: not with the first one's."""
    target = at(0, 1, 2, 40, 180, 181, 182, 230)
    label = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    two = Clusters(torch.ones(2, 2), label, torch.tensor([4, 4]))
    mean_KD, _ = means(target, label, torch.zeros(2, 2, dtype=torch.float64))
    assert outliers(target, two, mean_KD, 0.3).nonzero()[:, 0].tolist() == [3, 7]


def random_points(number: int = 300, width: int = 6) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(number, width, generator=generator(5)), dim=1)


def test_it_ends_where_nothing_moves() -> None:
    unit = random_points()
    found = kmeans(unit, 8, generator())
    assert int(found.count_K.sum()) == 300
    assert torch.equal(found.count_K, torch.bincount(found.label_N, minlength=8))
    again = kmeans(unit, 8, generator(), start_KD=found.centre_KD)
    torch.testing.assert_close(again.centre_KD, found.centre_KD, atol=0.02, rtol=0)
    fresh, _ = means(unit, found.label_N, torch.zeros(8, 6))
    torch.testing.assert_close(fresh, found.centre_KD)


def test_the_seed_decides() -> None:
    unit = random_points()
    one, again, other = (kmeans(unit, 8, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.centre_KD, again.centre_KD)
    assert torch.equal(one.label_N, again.label_N)
    assert not torch.equal(one.label_N, other.label_N)


def test_planted_clusters_are_found() -> None:
    centre = torch.eye(4)
    noise = 0.1 * torch.randn(200, 4, generator=generator())
    unit = torch.nn.functional.normalize(centre[torch.arange(200) % 4] + noise, dim=1)
    found = kmeans(unit, 4, generator(), start_KD=unit[:4])
    assert found.label_N.tolist() == (torch.arange(200) % 4).tolist()


def test_an_emptied_cluster_stays_and_does_not_count() -> None:
    unit = at(0, 1, 2)
    found = kmeans(unit, 2, generator(), start_KD=torch.cat([at(1), at(180)]))
    assert found.count_K.tolist() == [3, 0]
    torch.testing.assert_close(found.centre_KD[1:], at(180))
    assert found.scale() == pytest.approx(float(found.centre_KD[0].square().sum()))
    assert bool(torch.isfinite(found.centre_KD).all())


def test_fewer_points_than_clusters() -> None:
    found = kmeans(at(0, 90, 200), 10, generator())
    assert found.centre_KD.shape == (3, 2)
    assert sorted(found.label_N.tolist()) == [0, 1, 2]
    assert found.scale() == pytest.approx(1.0)


def test_the_zero_vector_has_a_cluster() -> None:
    """A user of whom a source knows nothing."""
    unit = torch.cat([torch.zeros(2, 2, dtype=torch.float64), at(0, 3, 90)])
    for start in (None, torch.cat([at(1), at(90)]), torch.zeros(2, 2, dtype=torch.float64)):
        found = kmeans(unit, 2, generator(), start)
        assert bool(torch.isfinite(found.centre_KD).all())
        assert int(found.count_K.sum()) == 5
    assert nearest(unit[:1], at(0, 90)).tolist() == [0]


@pytest.mark.parametrize("number", [1, 7])
def test_one_point_or_one_cluster(number) -> None:
    unit = random_points(7)
    assert kmeans(unit[:1], number, generator()).label_N.tolist() == [0]
    one = kmeans(unit, 1, generator())
    torch.testing.assert_close(one.centre_KD[0], unit.mean(0))
    assert one.scale() == pytest.approx(float(unit.mean(0).square().sum()))


def test_it_always_ends(monkeypatch) -> None:
    monkeypatch.setattr(clusters, "MOVED", -1.0)
    monkeypatch.setattr(clusters, "ROUNDS", 3)
    assert kmeans(random_points(), 5, generator()).centre_KD.shape == (5, 6)
