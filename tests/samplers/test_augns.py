"""AugNS: specs of RealHNS, section 4.3."""

from __future__ import annotations

import torch

from crossrec.samplers.augns import AugNS, noise


def test_golden_noise() -> None:
    added = noise(torch.tensor([-0.6, 0.8]), torch.tensor([0.3, 0.4]), 0.1)
    torch.testing.assert_close(added, torch.tensor([-0.06, 0.08]))


def test_noise_stays_in_the_orthant_and_is_as_long_as_said() -> None:
    e = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    added = noise(e, torch.rand(50, 8, generator=torch.Generator().manual_seed(1)), 0.2)
    assert bool((added.sign() == e.sign()).all())
    torch.testing.assert_close(added.norm(dim=1), 0.2 * e.norm(dim=1))


def test_vectors_keep_their_length_and_turn_a_little(split, made, draw) -> None:
    model = made("sasrec", split)
    drawn = draw(AugNS(epsilon=0.1), model, split, 20)
    e_PHD, moved_PHD = model.items(drawn.hard_PH), drawn.found.hard.vectors
    torch.testing.assert_close(moved_PHD.norm(dim=-1), e_PHD.norm(dim=-1))
    cosine_PH = torch.cosine_similarity(e_PHD, moved_PHD, dim=-1)
    assert bool((cosine_PH > 0.99).all())
    assert bool((cosine_PH < 1).all())


def test_without_noise_it_is_uniform(split, made, draw) -> None:
    model = made("twotower", split)
    drawn = draw(AugNS(epsilon=0.0), model, split, 20)
    torch.testing.assert_close(drawn.found.hard.vectors, model.items(drawn.hard_PH))
    assert len(set(drawn.hard_PH.flatten().tolist())) == 30


def test_gradient_reaches_the_item(split, made, draw) -> None:
    model = made("sasrec", split)
    draw(AugNS(), model, split, 10).found.vectors.square().sum().backward()
    assert bool(model.table.weight.grad.to_dense()[1:].any(1).all())
