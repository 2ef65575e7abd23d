"""Slots: by loops, deterministic when asked, and different from each other."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.nn.slots import EventReadout, SlotAttention, SlotTransfer

SEGMENT = torch.tensor([0, 0, 0, 1, 2, 2])


def made(seed: int = 0) -> tuple[SlotAttention, Tensor]:
    torch.manual_seed(seed)
    return SlotAttention(4, slots=3, steps=2).double().eval(), torch.randn(6, 4, dtype=torch.float64)


def alone(layer: SlotAttention, x_LD: Tensor) -> Tensor:
    """The slots of one session, written out."""
    slot_KD, scale = layer.mean, x_LD.shape[1] ** -0.5
    x_LD = layer.norm_events(x_LD)
    for _ in range(layer.steps):
        logit_LK = (layer.key(x_LD) @ layer.query(layer.norm_slots(slot_KD)).T) * scale
        share_LK = logit_LK.softmax(1) + 1e-8
        read_KD = (share_LK / share_LK.sum(0)).T @ layer.value(x_LD)
        slot_KD = layer.unit(read_KD, slot_KD)
        slot_KD = slot_KD + layer.inner(layer.norm_inner(slot_KD))
    return slot_KD


def test_slots_by_loops_and_whatever_else_is_in_the_batch() -> None:
    layer, x_MD = made()
    found_SKD = layer(x_MD, SEGMENT, 3)
    for s in range(3):
        torch.testing.assert_close(found_SKD[s], alone(layer, x_MD[s == SEGMENT]))


def test_slots_are_deterministic_when_asked_and_random_in_training() -> None:
    layer, x_MD = made()
    assert torch.equal(layer(x_MD, SEGMENT, 3), layer(x_MD, SEGMENT, 3))
    layer.train()
    assert not torch.equal(layer(x_MD, SEGMENT, 3), layer(x_MD, SEGMENT, 3))


def test_slots_of_a_session_differ_where_nothing_is_random() -> None:
    layer, x_MD = made()
    slot_SKD = layer(x_MD, SEGMENT, 3).detach()
    assert float((slot_SKD[:, :1] - slot_SKD[:, 1:]).abs().amax(-1).min()) > 1e-3


def test_no_session_has_no_slots() -> None:
    layer, x_MD = made()
    assert layer(x_MD[:0], SEGMENT[:0], 0).shape == (0, 3, 4)


def test_what_events_read_in_the_slots_by_loops() -> None:
    torch.manual_seed(0)
    layer, slot_CKD = SlotTransfer(4).double(), torch.randn(3, 5, 4, dtype=torch.float64)
    x_MD = torch.randn(6, 4, dtype=torch.float64)
    there_CK = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 0, 1]]).bool()
    found_MD = layer(x_MD, SEGMENT, slot_CKD, there_CK)
    for m, c in enumerate(SEGMENT.tolist()):
        z_KD = slot_CKD[c, there_CK[c]]
        z_D = (z_KD @ layer.match.weight @ x_MD[m]).softmax(0) @ z_KD if len(z_KD) else torch.zeros_like(x_MD[m])
        gate_D = torch.sigmoid(layer.gate.weight @ torch.cat([x_MD[m], z_D]))
        torch.testing.assert_close(found_MD[m], x_MD[m] + gate_D * z_D)
    assert torch.equal(found_MD[3], x_MD[3]), "who has no slot reads none"


def test_readout_by_loops() -> None:
    torch.manual_seed(0)
    layer, y_MD = EventReadout(4).double(), torch.randn(6, 4, dtype=torch.float64)
    found_CD = layer(y_MD, SEGMENT, torch.tensor([3, 1, 2]))
    for c in range(3):
        own_LD = y_MD[c == SEGMENT]
        share_L = torch.stack([layer.weight @ torch.sigmoid(layer.last(own_LD[-1]) + layer.each(y)) for y in own_LD])
        expected = layer.out.weight @ torch.cat([share_L @ own_LD, own_LD[-1]])
        torch.testing.assert_close(found_CD[c], expected)
