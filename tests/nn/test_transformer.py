"""The Transformer at few asked places: the same states and gradients as at all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from crossrec.data.histories import History
from crossrec.nn.attention import CausalAttention
from crossrec.nn.transformer import FEW, LEAST, Transformer, TransformerConfig, few_seats

SHAPES = ((60, 12), (4, 20), (20, 30))
LENGTHS = tuple(torch.arange(b) % 5 + length - 4 for b, length in SHAPES)
STARTS = torch.cat([torch.arange(b) * length + at for (b, length), at in zip(SHAPES, (0, 720, 800), strict=True)])
TOTAL = 1400


def history(at: Iterable[int] | Tensor) -> History:
    """Rows of several lengths, 0 behind their ends, asked at these places."""
    draw = torch.Generator().manual_seed(0)
    chunks = tuple(
        torch.randint(1, 50, shape, generator=draw).where(torch.arange(shape[1]) < length[:, None], 0)
        for shape, length in zip(SHAPES, LENGTHS, strict=True)
    )
    rows = tuple(torch.arange(84).split([b for b, _ in SHAPES]))
    return History(chunks, LENGTHS, rows, torch.as_tensor(at), TOTAL)


ONE_PER_ROW = STARTS + torch.cat(LENGTHS) - 1
SEVERAL = torch.tensor([7, TOTAL, 0, 3, 7, 1399 - 4, TOTAL, 805, 25, 24, 7])
"""Up to three places of a row, one of them three times; rows that nobody asks; queries that know nothing."""


def transformer(dtype: torch.dtype = torch.float64, **settings: object) -> tuple[Transformer, nn.Embedding]:
    """One with every bias at work, without dropout, and a table of items."""
    torch.manual_seed(0)
    made = Transformer(TransformerConfig(**{"dim": 8, "max_len": 30, "dropout": 0.0, **settings})).to(dtype)
    for parameter in made.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.5)
    return made, nn.Embedding(50, 8, padding_idx=0, dtype=dtype)


def learned(states: Callable[[], Tensor], *parts: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """States, and the gradients of a weighted sum of them."""
    state_PD = states()
    weight_PD = torch.randn(state_PD.shape, generator=torch.Generator().manual_seed(1), dtype=state_PD.dtype)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    return state_PD.detach(), list(torch.autograd.grad((state_PD * weight_PD).sum(), parameters))


@pytest.mark.parametrize("asked", [ONE_PER_ROW, SEVERAL, torch.tensor([TOTAL])], ids=["one per row", "several", "none"])
@pytest.mark.parametrize("settings", [{}, {"heads": 4}, {"blocks": 1}], ids=str)
@pytest.mark.parametrize("padding", [False, True], ids=["plain", "padding attended to"])
def test_few_asked_places_have_the_states_and_gradients_of_all(
    asked: Tensor, settings: dict[str, int], padding: bool
) -> None:
    encoder, table = transformer(**settings, attend_padding=padding)
    asking = history(asked)
    assert few_seats(asking) is not None
    found, grads = learned(lambda: encoder(asking, table), encoder, table)
    right, right_grads = learned(lambda: encoder.last(asking, encoder.places(asking, table)), encoder, table)
    torch.testing.assert_close(found, right, rtol=0, atol=1e-12)
    torch.testing.assert_close(grads, right_grads, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("padding", [False, True])
@torch.no_grad()
def test_few_asked_places_agree_in_single_precision(padding: bool) -> None:
    encoder, table = transformer(torch.float32, heads=2, attend_padding=padding)
    asking = history(ONE_PER_ROW)
    right = encoder.last(asking, encoder.places(asking, table))
    torch.testing.assert_close(encoder(asking, table), right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 11, 30])
@pytest.mark.parametrize("settings", [{}, {"heads": 4}, {"blocks": 1}, {"attend_padding": True}], ids=str)
@torch.no_grad()
def test_a_lone_row_has_the_state_that_it_has_among_others(length: int, settings: dict[str, int]) -> None:
    encoder, table = transformer(**settings)
    encoder.eval()
    items = torch.randint(1, 50, (1, length), generator=torch.Generator().manual_seed(length))
    alone = History((items,), (torch.tensor([length]),), (torch.tensor([0]),), torch.tensor([length - 1]), length)
    right = encoder.last(alone, encoder.places(alone, table))
    torch.testing.assert_close(encoder(alone, table), right, rtol=0, atol=1e-12)
    padded = replace(alone, chunks=(torch.cat([items, items.new_zeros(1, 4)], 1),), total=length + 4)
    torch.testing.assert_close(encoder(padded, table), right, rtol=0, atol=1e-12)


def test_a_query_that_knows_nothing_has_the_state_of_an_empty_row() -> None:
    encoder, table = transformer()
    empty = encoder(History((), (), (), torch.tensor([0]), 0), table)
    assert torch.equal(encoder(history(SEVERAL), table)[[1, 6]], empty.expand(2, -1))


def test_no_query_has_no_state() -> None:
    encoder, table = transformer()
    assert encoder(history(torch.zeros(0, dtype=torch.int64)), table).shape == (0, 8)


def test_seats_are_the_asked_places() -> None:
    place_RM, seat_P = few_seats(history(SEVERAL))
    assert place_RM.shape == (84, 3)
    known = SEVERAL < TOTAL
    assert torch.equal(place_RM.flatten()[seat_P[known]], SEVERAL[known])
    assert torch.equal(seat_P[~known], torch.full((2,), place_RM.numel()))
    assert torch.equal(place_RM[:3], torch.tensor([[0, 3, 7], [12, 12, 12], [24, 25, 24]]))


def test_many_asked_places_run_bit_for_bit_as_all() -> None:
    encoder, table = transformer(dropout=0.3)
    asking = history(torch.arange(TOTAL))
    states = []
    for run in (encoder, lambda asking, table: encoder.last(asking, encoder.places(asking, table))):
        torch.manual_seed(1)
        states.append(run(asking, table))
    assert torch.equal(*states)


def test_few_are_a_share_of_the_places_and_not_worth_it_among_hardly_any() -> None:
    most = int(FEW * TOTAL / len(STARTS))
    assert few_seats(history(torch.arange(most))) is not None
    assert few_seats(history(torch.arange(most + 1))) is None
    short = history([5])
    short = replace(short, chunks=short.chunks[:2], lengths=LENGTHS[:2], rows=short.rows[:2], total=800)
    assert short.total < LEAST
    assert few_seats(short) is None


@pytest.mark.parametrize("sink", [False, True])
@torch.no_grad()
def test_dropout_has_the_distribution_that_it_has_at_all_places(sink: bool) -> None:
    """Mean, spread and correlation of what one place attends to, over many equal rows."""
    torch.manual_seed(0)
    layer = CausalAttention(4, 2, 0.4, sink=sink)
    nn.init.normal_(layer.in_bias)
    rows, length, at = 40_000, 4, 2
    q, x = (z.repeat(rows, 1) for z in torch.randn(2, length, 4))
    shapes, pads = [(rows, length)], [torch.full((rows,), 3)]
    place_RM = torch.arange(rows)[:, None] * length + at
    all_places = layer(q, x, shapes, pads)[at::length]
    few = layer.asked(q[at::length], x, shapes, pads, place_RM)
    spread = all_places.std(0)
    torch.testing.assert_close(few.mean(0), all_places.mean(0), rtol=0, atol=5 * 2**0.5 * float(spread.max()) / 200)
    torch.testing.assert_close(few.T.cov(), all_places.T.cov(), rtol=0.05, atol=0.05 * float(spread.max()) ** 2)
