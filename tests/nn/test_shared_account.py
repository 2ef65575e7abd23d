"""π-Net's filter and PSJNet-II's split and join, event by event."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crossrec.nn import shared_account
from crossrec.nn.shared_account import GatedUnit, SharedAccountFilter, SplitAndJoin

SIZES = (3, 2, 2, 1)
ROWS = [[0, 3, 5, 7], [1, 4, 6], [2]]
"""Places of every row's events among all that are packed."""
EVENTS, DIM, MEMBERS = 8, 3, 2


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_unit_reads_its_input_by_the_first_half_of_its_kernels() -> None:
    unit, x_ND = GatedUnit(DIM, 0.5).double().eval(), drawn(EVENTS, DIM)
    found = unit(x_ND, SIZES)
    for row in ROWS:
        h = torch.zeros(DIM, dtype=torch.float64)
        for n in row:
            z, r = torch.sigmoid(torch.cat([x_ND[n], h]) @ unit.gate + unit.bias[: 2 * DIM]).chunk(2)
            c = torch.tanh(torch.cat([x_ND[n], r * h]) @ unit.new + unit.bias[2 * DIM :])
            h = z * h + (1 - z) * c
            torch.testing.assert_close(found[n], h)


def test_filter_is_equations_2_to_5() -> None:
    part = SharedAccountFilter(DIM, MEMBERS, 0.5).double().eval()
    h_ND, g_ND = drawn(EVENTS, DIM), drawn(EVENTS, DIM)
    bias_f, bias_c = part.bias.detach().normal_().chunk(2)
    found = part.filtered(h_ND, g_ND, SIZES)
    for row in ROWS:
        s = torch.zeros(DIM, dtype=torch.float64)
        for n in row:
            new = []
            for member in part.members:
                f = torch.sigmoid(torch.cat([h_ND[n], g_ND[n], s]) @ part.gate + member @ part.member_gate + bias_f)
                c = torch.tanh(torch.cat([h_ND[n], s]) @ part.new + member @ part.member_new + bias_c)
                new.append(f * s + (1 - f) * c)
            s = torch.stack(new).mean(0)
            torch.testing.assert_close(found[n], s)
    torch.testing.assert_close(part(h_ND, g_ND, SIZES), part.unit(found, SIZES))


def test_gate_of_the_filter_weighs_the_old_state() -> None:
    """Gates wide open keep the state, which is zero, whatever comes; shut, they keep nothing but the latest event."""
    part = SharedAccountFilter(DIM, MEMBERS, 0.0).double()
    h_ND, g_ND = drawn(EVENTS, DIM), drawn(EVENTS, DIM)
    with torch.no_grad():
        part.bias[:DIM] = 60
        assert float(part.filtered(h_ND, g_ND, SIZES).abs().max()) < 1e-9
        part.bias[:DIM] = -60
        part.new[DIM:] = 0
        alone = part.filtered(h_ND, g_ND, (EVENTS,))
        torch.testing.assert_close(part.filtered(h_ND, g_ND, SIZES), alone)


def test_filter_runs_on_its_own_mean_state() -> None:
    """Never on the states of the unit that reads it: other weights there change nothing of the filter."""
    part = SharedAccountFilter(DIM, MEMBERS, 0.0).double()
    h_ND, g_ND = drawn(EVENTS, DIM), drawn(EVENTS, DIM)
    before = part.filtered(h_ND, g_ND, SIZES), part(h_ND, g_ND, SIZES)
    with torch.no_grad():
        part.unit.new.mul_(-1)
    assert torch.equal(part.filtered(h_ND, g_ND, SIZES), before[0])
    assert not torch.allclose(part(h_ND, g_ND, SIZES), before[1])


def test_one_member_is_a_filter_without_a_mean() -> None:
    """Of members who are all alike, any number is as good as one."""
    many, one = SharedAccountFilter(DIM, 4, 0.0).double(), SharedAccountFilter(DIM, 1, 0.0).double()
    weights = many.state_dict()
    weights["members"][1:] = weights["members"][:1].clone()
    one.load_state_dict({**weights, "members": weights["members"][:1]})
    h_ND, g_ND = drawn(EVENTS, DIM), drawn(EVENTS, DIM)
    torch.testing.assert_close(one(h_ND, g_ND, SIZES), many(h_ND, g_ND, SIZES))


def test_first_values() -> None:
    """Biases of gates and of the filter start at 1, kernels Xavier-normal (specs of DDGHM, 6.1)."""
    part = SharedAccountFilter(64, 4, 0.2)
    assert torch.equal(part.bias, torch.ones(128))
    assert torch.equal(part.unit.bias, torch.tensor([1.0] * 128 + [0.0] * 64))
    assert float(part.unit.gate.detach().std()) == pytest.approx((2 / (128 + 128)) ** 0.5, rel=0.05)


def test_dropout_is_for_training_alone_and_reaches_the_carried_state() -> None:
    unit, x_ND = GatedUnit(DIM, 0.5).double(), torch.zeros(EVENTS, DIM, dtype=torch.float64)
    with torch.no_grad():
        unit.bias[2 * DIM :] = 1.0
    assert torch.equal(unit.eval()(x_ND, SIZES), unit(x_ND, SIZES))
    unit.train()
    found = torch.stack([unit(x_ND, SIZES) for _ in range(200)])
    assert 0.4 < float((found == 0).double().mean()) < 0.6
    values = [len(found[:, place][found[:, place] != 0].unique()) for place in (0, 7)]
    assert values[0] == 1, "of the first step nothing is carried, and the input is zero"
    assert values[1] > 1


def joined(part: SplitAndJoin, p_NMD: Tensor, own_D: Tensor, places: list[int]) -> Tensor:
    """Equation 6.8 of one query."""
    p_KD = torch.cat([p_NMD[n] for n in places])
    a_K = (torch.tanh(p_KD @ part.part + own_D @ part.own + part.bias) @ part.outer)[:, 0].softmax(0)
    return a_K @ p_KD


@pytest.mark.parametrize("held", [1, 1 << 24])
def test_split_and_join_are_equations_7_and_8(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(shared_account, "ELEMENTS", held)
    part = SplitAndJoin(DIM, MEMBERS).double()
    for bias in (part.gate_bias, part.new_bias, part.bias, part.outer):
        torch.nn.init.normal_(bias)
    h_ND, g_ND, own_CD = drawn(EVENTS, DIM), drawn(EVENTS, DIM), drawn(4, DIM)
    p_NMD = part.split(h_ND, g_ND)
    for n in range(EVENTS):
        for m, role in enumerate(part.roles):
            f = torch.sigmoid(torch.cat([h_ND[n], g_ND[n]]) @ part.gate + role @ part.role_gate + part.gate_bias)
            new = torch.tanh(h_ND[n] @ part.new + role @ part.role_new + part.new_bias)
            torch.testing.assert_close(p_NMD[n, m], f * new)
    known = [[0, 3], [], [1, 4, 6], []]
    query_Q = torch.tensor([c for c, places in enumerate(known) for _ in places])
    found = part.join(p_NMD, own_CD, query_Q, torch.tensor([n for places in known for n in places]))
    for c, places in enumerate(known):
        expected = joined(part, p_NMD, own_CD[c], places) if places else torch.zeros_like(own_CD[c])
        torch.testing.assert_close(found[c], expected)


def test_join_learns_what_the_formula_would() -> None:
    part = SplitAndJoin(DIM, MEMBERS).double()
    p_NMD, own_CD = drawn(EVENTS, MEMBERS, DIM).requires_grad_(), drawn(2, DIM).requires_grad_()
    known = [[0, 3, 5], [1]]
    query_Q, place_Q = torch.tensor([0, 0, 0, 1]), torch.tensor([n for places in known for n in places])
    weights = (p_NMD, own_CD, part.part, part.own, part.outer, part.bias)
    mix = drawn(2, DIM)
    found = torch.autograd.grad((part.join(p_NMD, own_CD, query_Q, place_Q) * mix).sum(), weights)
    slow = torch.stack([joined(part, p_NMD, own_CD[c], places) for c, places in enumerate(known)])
    for one, other in zip(found, torch.autograd.grad((slow * mix).sum(), weights), strict=True):
        torch.testing.assert_close(one, other)


def test_what_a_query_does_not_know_is_masked_before_the_softmax() -> None:
    """The shares of what it knows sum to 1: parts that are all alike are joined to the very part, however few are known."""
    part = SplitAndJoin(DIM, MEMBERS).double()
    same_D = drawn(DIM)
    p_NMD = same_D.expand(EVENTS, MEMBERS, DIM).clone()
    query_Q, place_Q = torch.tensor([0, 1, 1, 1, 1]), torch.tensor([0, 0, 3, 5, 7])
    found = part.join(p_NMD, drawn(2, DIM), query_Q, place_Q)
    torch.testing.assert_close(found, same_D.expand(2, DIM))
    own_CD = drawn(2, DIM)
    before = part.join(p_NMD, own_CD, query_Q, place_Q)
    p_NMD[3:] = 1e3
    torch.testing.assert_close(part.join(p_NMD, own_CD, query_Q, place_Q)[0], before[0])


def test_shares_do_not_overflow() -> None:
    part = SplitAndJoin(DIM, MEMBERS)
    with torch.no_grad():
        part.outer.mul_(1e4)
    p_NMD = torch.randn(EVENTS, MEMBERS, DIM)
    found = part.join(p_NMD, torch.randn(1, DIM), torch.zeros(EVENTS, dtype=torch.int64), torch.arange(EVENTS))
    assert torch.isfinite(found).all()
