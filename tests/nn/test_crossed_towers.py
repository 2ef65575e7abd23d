"""Crossed towers against the equations written out, pair by pair."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.nn.crossed_towers import CrossedTowers

WIDTHS = (5, 4, 3)


def written_out(towers: CrossedTowers, x: int, p_D: Tensor, item_by_domain: dict[int, Tensor]) -> Tensor:
    """Equation 5.1 for every tower that is run; ``item_by_domain`` holds the candidate and the partners."""
    a = {y: torch.cat([p_D, q_D]) for y, q_D in item_by_domain.items()}
    for number in range(len(WIDTHS)):
        new = {}
        for y, own in a.items():
            tower = towers.tower(y)
            first = torch.cat([tower.user.weight, tower.item.weight], 1), tower.user.bias
            weight, bias = first if not number else (tower.layers[number - 1].weight, tower.layers[number - 1].bias)
            others = [other for z, other in a.items() if z != y]
            crossed = torch.zeros_like(bias)
            if others and number < len(towers.cross):
                crossed = towers.cross[number] @ torch.stack(others).mean(0)
            new[y] = torch.relu(weight @ own + bias + crossed)
        a = new
    return (towers.tower(x).out.weight @ a[x] + towers.tower(x).out.bias)[0]


@pytest.mark.parametrize("cross", [1, 2, 3])
@pytest.mark.parametrize("domains", [1, 2, 3])
def test_equations(domains: int, cross: int) -> None:
    torch.manual_seed(0)
    towers = CrossedTowers(domains, 4, WIDTHS, cross).double()
    for parameter in towers.parameters():
        parameter.data.normal_()
    x = domains - 1
    p_CD, q_KD = torch.randn(6, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    there_CY = torch.rand(6, domains - 1) < 0.6
    partner_CYD = torch.randn(6, domains - 1, 4, dtype=torch.float64) * there_CY[..., None]
    found_CK = towers(x, towers.queries(x, p_CD, partner_CYD, there_CY)[:, None], towers.items(x, q_KD)[None])
    for c in range(6):
        partners = {y: partner_CYD[c, n] for n, y in enumerate(towers.others(x)) if there_CY[c, n]}
        expected_K = torch.stack([written_out(towers, x, p_CD[c], {**partners, x: q_D}) for q_D in q_KD])
        torch.testing.assert_close(found_CK[c], expected_K)


def test_both_directions_share_a_matrix() -> None:
    towers = CrossedTowers(2, 4, WIDTHS, 2)
    assert [tuple(matrix.shape) for matrix in towers.cross] == [(5, 8), (4, 5)]
    p_CD, q_D = torch.randn(1, 4), torch.randn(1, 1, 4)
    for x in (0, 1):
        towers.zero_grad()
        query = towers.queries(x, p_CD, q_D, torch.ones(1, 1, dtype=torch.bool))
        towers(x, query[:, None], towers.items(x, q_D)).sum().backward()
        assert all(matrix.grad.abs().sum() > 0 for matrix in towers.cross), f"domain {x} asks"
