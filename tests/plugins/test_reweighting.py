"""HBR: specs of PDRec, 4.2 and the golden table of 4.5."""

from __future__ import annotations

import pytest
import torch

from crossrec.data.splits import LeaveLastOut
from crossrec.plugins.reweighting import floors, mean_ranks, weights
from crossrec.testing.worlds import world_of

PAPER = {"rank_weight": 0.1, "truncate": 3.0, "rescale": 2.0}
README = {"rank_weight": 0.1, "truncate": 1.0, "rescale": 4.0}
GOLDEN = (0.2, 0.8, 0.5, 0.9)
TABLE = [
    ("pad", 0.0001, PAPER, (0.649900, 2.550050, 1.599975, 2.900075)),
    ("pad", 0.0001, README, (1.299800, 4, 3.199950, 4)),
    ("pad", -0.004, PAPER, (0.661881, 2.544059, 1.602970, 2.891089)),
    ("pad", -0.004, README, (1.323762, 4, 3.205941, 4)),
    ("min", 0.0001, PAPER, (0.05, 2.85, 1.45, 3.35)),
    ("min", 0.0001, README, (0.1, 4, 2.9, 4)),
]


@pytest.fixture(scope="session")
def weigh(prepare, fixed):
    """The weights of one user's positives that a model scores like this, through the plug-in."""

    def find(score, padding=0.0, max_len=20, items=None, **settings):
        items = list(range(1, len(score) + 1)) if items is None else items
        toys = [("toys", item, time) for time, item in enumerate([0, *items, 0, 0], 1)]
        split = LeaveLastOut("toys").apply(world_of([toys], {"toys": max(items) + 1}))
        score_V = torch.zeros(max(items) + 1)
        score_V[items] = torch.tensor(score)
        source = fixed(split, score_V[None], padding, max_len)
        found = prepare(split, source, source, soft=False, low=False, **settings)
        return found.plugin.weights(found.batch()).tolist()

    return find


@pytest.mark.parametrize(("floor", "padding", "constants", "expected"), TABLE)
def test_golden_table(floor, padding, constants, expected, weigh) -> None:
    """G4: the row's first item is known, not weighed."""
    assert weigh(GOLDEN, padding, floor=floor, **constants) == pytest.approx(expected, abs=1e-6)


def test_golden_row_without_padding(weigh) -> None:
    """G4: k = L is counted from the row's least, whatever the padding's preference."""
    assert weigh(GOLDEN, 0.0001, max_len=4, **PAPER) == pytest.approx((0.05, 2.85, 1.45, 3.35), abs=1e-6)
    assert weigh(GOLDEN, 0.0001, max_len=5, **PAPER) == pytest.approx((0.6499, 2.55005, 1.599975, 2.900075), abs=1e-6)


def test_only_what_the_phase_trains_on_is_weighed(weigh) -> None:
    """A row is cut to its latest events: earlier positives are not in the set."""
    assert weigh((0.99, 0.01, *GOLDEN), 0.0001, max_len=4, **PAPER) == pytest.approx((0.05, 2.85, 1.45, 3.35), abs=1e-6)


@pytest.mark.parametrize("floor", ["pad", "min"])
@pytest.mark.parametrize("preference", [0.7, -0.7, 0.0])
@pytest.mark.parametrize(("constants", "expected"), [(PAPER, 2), (README, 4), ({"truncate": 0.5, "rescale": 3.0}, 1.5)])
def test_one_positive(constants, expected, preference, floor, weigh) -> None:
    """rescale * min(1, truncate)."""
    assert weigh((preference,), 0.0001, floor=floor, **constants) == pytest.approx((expected,), abs=1e-6)


def test_two_positives(weigh) -> None:
    assert weigh((0.7, 0.3), 0.0001, **PAPER) == pytest.approx((2.720072, 1.179928), abs=1e-6)


def test_equal_preferences_share(weigh) -> None:
    """Also where all of them are at the floor; ranks at their mean."""
    for floor in "pad", "min":
        assert weigh((0.5, 0.5), floor=floor, **PAPER) == pytest.approx((1.95, 1.95), abs=1e-6)
    assert weigh((0.0, 0.0), **PAPER) == pytest.approx((1.95, 1.95), abs=1e-6)


def test_an_item_that_occurs_twice_is_weighed_twice_alike(weigh) -> None:
    first, second, third = weigh((0.5, 0.5, 0.9), items=[3, 3, 5], **PAPER)
    assert first == second
    assert third > first


def test_mean_ranks() -> None:
    value = torch.tensor([3.0, 1, 2, 1, 5, 5, 5, 1])
    row = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
    assert mean_ranks(value, row).tolist() == [4, 1.5, 3, 1.5, 2, 2, 2, 1]


def plainly(o: list[float], padding: float, padded: bool) -> list[float]:
    """One row's weights, step by step (specs, 4.2), of preferences without ties."""
    m = min(*o, padding)
    floor = (0.5 * m if m > 0 else 1.5 * m) if padded else min(o)
    above = [(x - floor) / (max(o) - floor) for x in o]
    share = [len(o) * x / sum(above) for x in above]
    ranks = [(1 + sorted(o).index(x)) / len(o) for x in o]
    return [2 * min(3, 0.9 * p + 0.1 * r) for p, r in zip(share, ranks, strict=True)]


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.01])
def test_many_rows_at_once_are_weighed_as_each_by_itself(shift) -> None:
    generator = torch.Generator().manual_seed(3)
    count_N = torch.randint(2, 9, (60,), generator=generator)
    row_S = torch.repeat_interleave(torch.arange(60), count_N)
    o_S = torch.rand(len(row_S), generator=generator) + shift
    padding_N = torch.randn(60, generator=generator) / 100
    padded_N = torch.rand(60, generator=generator) < 0.8
    found_S, clipped_S = weights(o_S, row_S, floors(o_S, row_S, padding_N, padded_N), **PAPER)
    for n in range(60):
        mine = row_S == n
        expected = plainly(o_S[mine].double().tolist(), float(padding_N[n]), bool(padded_N[n]))
        assert found_S[mine].tolist() == pytest.approx(expected, abs=1e-4)
    assert torch.equal(clipped_S, found_S >= 6)
    free_N = torch.bincount(row_S[clipped_S], minlength=60) == 0
    mean_N = torch.zeros(60).index_add(0, row_S, found_S) / count_N
    expected_N = 2 * (0.9 + 0.1 * (count_N + 1) / (2 * count_N))
    assert torch.allclose(mean_N[free_N], expected_N[free_N], atol=1e-5), (
        "the mean weight does not depend on preferences"
    )


def test_the_control_has_the_same_mean(split, made, prepare) -> None:
    """Specs, 12.4: every positive weighs the mean of what they would weigh."""
    source = made("sasrec", split, seed=2)
    one, control, none = (
        prepare(split, source, soft=False, low=False, weight=weight) for weight in ("preference", "mean", "none")
    )
    weight_P = one.plugin.weights(one.batch())
    assert weight_P.std() > 0.1
    constant_P = control.plugin.weights(control.batch())
    assert constant_P.shape == weight_P.shape
    assert constant_P.tolist() == pytest.approx([float(weight_P.mean())] * len(weight_P))
    assert none.plugin.weights(none.batch()) is None
    assert one.plugin.facts()["weight"] == control.plugin.facts()["weight"] == pytest.approx(float(weight_P.mean()))
    assert none.plugin.facts() == {}


def test_share_of_clipped_weights(split, made, prepare) -> None:
    found = prepare(split, made("sasrec", split, seed=2), soft=False, low=False, truncate=1.0)
    clipped = (found.plugin.weights(found.batch()) >= 2).float().mean()
    assert 0.2 < found.plugin.facts()["clipped"] < 0.8
    assert found.plugin.facts()["clipped"] == pytest.approx(float(clipped))
