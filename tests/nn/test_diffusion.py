"""The schedule of the diffusion, the embedding of its steps, the steps that training draws."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from crossrec.errors import InputError
from crossrec.nn.diffusion import KEPT, ImportantSteps, Schedule, StepEmbedding, squared_norms

AMAZON = Schedule(10, 0.01, 0.0005, 0.005)
DOUBAN = Schedule(10, 0.01, 0.0005, 0.01)


def close(found: torch.Tensor, expected: list[float], half: float) -> None:
    """Equal to the printed digits."""
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=half, rtol=0)


def test_the_published_schedule_for_amazon() -> None:
    """Specs of PDRec, 3.3."""
    grows = [5.000025, 5.00005, 5.000075, 5.0001, 5.000125, 5.00015, 5.000175, 5.0002, 5.000225]
    close(AMAZON.beta_T * 1e6, [10.0, *grows], 5e-7)
    close(AMAZON.noise_T**2 * 1e5, [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5], 0.05)
    close(AMAZON.signal_T**2 + AMAZON.noise_T**2, [1.0] * 10, 1e-12)
    c1 = [1.0, 0.333334, 0.250001, 0.200002, 0.166668, 0.142859, 0.125002, 0.111113, 0.100002, 0.090911]
    c2 = [0.0, 0.666666, 0.749999, 0.799998, 0.833332, 0.857141, 0.874998, 0.888887, 0.899998, 0.909089]
    close(AMAZON.c1_T, c1, 5e-7)
    close(AMAZON.c2_T, c2, 5e-7)
    close(AMAZON.weight_T[:4], [1, 33_333.2, 16_666.7, 10_000.0], 0.05)
    close(AMAZON.weight_T[4:], [6666.68, 4761.91, 3571.44, 2777.79, 2222.23, 1818.19], 0.005)


def test_the_published_schedule_for_douban() -> None:
    """Specs of PDRec, 3.3."""
    close(DOUBAN.beta_T[1:2] * 1e5, [1.05556], 5e-6)
    c1 = [1, 0.513515, 0.339289, 0.253337, 0.202132, 0.168146, 0.143944, 0.125832, 0.111769, 0.100534]
    close(DOUBAN.c1_T, c1, 5e-7)
    close(DOUBAN.weight_T[:2], [1, 51_351.2], 0.05)
    close(DOUBAN.weight_T[2:], [16_505.8, 8142.87, 4851.08, 3219.74, 2292.85, 1715.84, 1332.30, 1064.43], 0.05)


@pytest.mark.parametrize("schedule, left", [(AMAZON, 0.1818), (DOUBAN, 0.0952)], ids=["amazon", "douban"])
def test_the_reverse_chain_ends_with_the_last_prediction(schedule: Schedule, left: float) -> None:
    """If f is c the result is c, and if f(x, t) is g_t it is g_0 (specs, 3.5), wherever the chain starts."""
    g_T = torch.linspace(3, 12, 10, dtype=torch.float64)
    for prediction_T in (torch.full_like(g_T, 7), g_T):
        x = torch.tensor(0.9, dtype=torch.float64)
        for t in range(9, -1, -1):
            x = schedule.c1_T[t] * prediction_T[t] + schedule.c2_T[t] * x
        torch.testing.assert_close(x, prediction_T[0])
    assert float(schedule.c2_T[1:].prod()) == pytest.approx(left, abs=5e-5)


@pytest.mark.parametrize("bounds", [(0, 1, 0.1, 0.2), (10, 0, 0.1, 0.2), (10, 1, 0.2, 0.2), (10, 1, 0.1, 1.0)])
def test_noise_that_does_not_grow_is_refused(bounds: tuple[int, float, float, float]) -> None:
    with pytest.raises(InputError, match="grows between 0 and 1"):
        Schedule(*bounds)


def test_a_step_is_embedded_by_cosines_and_sines() -> None:
    """Specs, 3.2: five frequencies 10000^(-k / 5), cosines first."""
    embedding = StepEmbedding(10, 10)
    angles = [[t * 10000 ** (-k / 5) for k in range(5)] for t in range(10)]
    expected = torch.tensor([[f(a) for f in (math.cos, math.sin) for a in row] for row in angles])
    torch.testing.assert_close(embedding.wave_TE, expected)
    torch.testing.assert_close(embedding(), F.linear(expected, embedding.linear.weight, embedding.linear.bias))


def test_steps_are_drawn_alike_until_each_has_its_losses() -> None:
    steps = ImportantSteps(10)
    for n in range(KEPT):
        torch.testing.assert_close(steps.chances(), torch.full((10,), 0.1, dtype=torch.float64))
        steps.record(torch.arange(10), torch.arange(10.0) + n)
    assert float(steps.chances().std()) > 0.01
    early = ImportantSteps(10)
    early.record(torch.zeros(1000, dtype=torch.int64), torch.ones(1000))
    torch.testing.assert_close(early.chances(), torch.full((10,), 0.1, dtype=torch.float64))


def test_chances_follow_the_latest_losses() -> None:
    """Specs, 3.4: 0.999 r_t / sum r + 0.0001, r_t the root of the mean square of the last ten losses."""
    torch.manual_seed(0)
    steps, last = ImportantSteps(10), [[0.0]] * 10
    for count in (23, 150, 7, 7, 200, 31):
        step_P, loss_P = torch.randint(10, (count,)), torch.rand(count) ** 8
        for t, loss in zip(step_P.tolist(), loss_P.tolist(), strict=True):
            last[t] = [*last[t], loss][-KEPT:]
        steps.record(step_P, loss_P)
    size = [math.sqrt(sum(loss**2 for loss in losses) / KEPT) for losses in last]
    chance_T = steps.chances()
    close(chance_T, [0.999 * r / sum(size) + 0.0001 for r in size], 1e-7)
    assert float(chance_T.sum()) == pytest.approx(1, abs=1e-12)
    assert float(chance_T.min()) >= 1e-4
    step_P, chance_P = steps.draw(20_000)
    torch.testing.assert_close(torch.bincount(step_P, minlength=10) / 20_000, chance_T.float(), atol=0.015, rtol=0)
    assert torch.equal(chance_P, chance_T[step_P])


def test_the_least_chance_is_that_of_a_step_without_loss() -> None:
    steps = ImportantSteps(10)
    steps.record(torch.arange(100) % 10, torch.cat([torch.ones(10), torch.zeros(90)]) * (torch.arange(100) % 10 > 0))
    chance_T = steps.chances()
    assert float(chance_T[0]) == pytest.approx(1e-4)
    assert float(chance_T.sum()) == pytest.approx(1)


def test_squared_norms() -> None:
    torch.manual_seed(0)
    x_PD = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(squared_norms(x_PD), x_PD.square().sum(1))
    assert torch.autograd.gradcheck(squared_norms, (x_PD,))
    many = torch.full((2, 4096), 0.1, dtype=torch.bfloat16)
    torch.testing.assert_close(squared_norms(many), many.float().square().sum(1), rtol=1e-4, atol=0)
