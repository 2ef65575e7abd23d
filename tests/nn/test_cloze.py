"""Hidden events: which they are, and a Transformer that looks both ways at what is left, against torch's own layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.histories import History
from crossrec.nn.cloze import Cloze, Guesser, last_hidden, questions, scattered

LENGTHS = torch.tensor([1, 2, 3, 5, 8, 11])
ITEMS = torch.arange(1, 67).view(6, 11).where(torch.arange(11) < LENGTHS[:, None], 0)


def guesser(**settings: int) -> tuple[Guesser, Tensor]:
    """One with all weights at work, in double precision, and a table of items."""
    torch.manual_seed(0)
    made = Guesser(8, **{"blocks": 2, "heads": 2, "dropout": 0.0, "max_len": 11, **settings}).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made, torch.randn(67, 8, dtype=torch.float64)


def slow(made: Guesser, table_VD: Tensor, items: list[int | None]) -> Tensor:
    """Guesses at all places of one row, None where an event is hidden, by torch's own layers: (l, D)."""
    e_lD = torch.stack([made.hidden if item is None else table_VD[item] for item in items])
    x_lD = made.norm_x(e_lD + made.positions[: len(items)])
    for ours in made.layers:
        attention, heads = ours.attention, ours.attention.heads
        layer = nn.TransformerEncoderLayer(8, heads, 32, 0.0, "gelu", batch_first=True).double()
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": torch.cat([attention.query.weight, attention.key_value.weight]),
                "self_attn.in_proj_bias": torch.cat([attention.query.bias, attention.key_value.bias]),
                **{f"self_attn.out_proj.{name}": value for name, value in attention.out.state_dict().items()},
                **{f"linear1.{name}": value for name, value in ours.up.state_dict().items()},
                **{f"linear2.{name}": value for name, value in ours.down.state_dict().items()},
                **{f"norm1.{name}": value for name, value in ours.norm_y.state_dict().items()},
                **{f"norm2.{name}": value for name, value in ours.norm_h.state_dict().items()},
            }
        )
        x_lD = layer.train()(x_lD[None])[0]  # without dropout; its short cut for evaluation has no double precision
    return made.norm_o(F.gelu(made.out(x_lD)))


@pytest.mark.parametrize("settings", [{}, {"heads": 1}, {"blocks": 1, "heads": 4}, {"blocks": 3}])
def test_guesses_are_those_of_each_row_by_itself(settings: dict[str, int]) -> None:
    made, table_VD = guesser(**settings)
    torch.manual_seed(3)
    for cloze in (scattered(ITEMS, LENGTHS, 0.5), last_hidden(ITEMS, LENGTHS)):
        expected = []
        for row, length in enumerate(LENGTHS.tolist()):
            hidden = cloze.hidden_bl[row, :length].tolist()
            seen = [None if gone else item for item, gone in zip(ITEMS[row].tolist(), hidden, strict=False)]
            at = cloze.place_bm[row][cloze.asked_bm[row]]
            assert sorted(at.tolist()) == [place for place, gone in enumerate(hidden) if gone]
            expected.append(slow(made, table_VD, seen)[at])
        torch.testing.assert_close(made(cloze, table_VD[cloze.item_bl]), torch.cat(expected))


def test_a_hidden_event_is_always_the_hidden_vector() -> None:
    """None stays as it is, and none is exchanged for another: what stands there is of no matter."""
    made, table_VD = guesser()
    cloze = scattered(ITEMS, LENGTHS, 0.4)
    other_bl = torch.where(cloze.hidden_bl, 66 - cloze.item_bl, cloze.item_bl)
    assert torch.equal(made(cloze, table_VD[other_bl]), made(cloze, table_VD[cloze.item_bl]))


def test_guesses_look_both_ways() -> None:
    made, table_VD = guesser()
    row, five = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([5])
    hidden = torch.tensor([[False, False, True, False, False]])
    cloze = Cloze(row, five, hidden, torch.tensor([[2]]), torch.tensor([[True]]))
    plain = made(cloze, table_VD[row])
    for place in (0, 1, 3, 4):
        changed = row.clone()
        changed[0, place] = 9
        assert not torch.allclose(made(cloze, table_VD[changed]), plain)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.2, [1, 1, 1, 1, 2, 2]), (0.6, [1, 1, 2, 3, 5, 7]), (1.0, LENGTHS.tolist())]
)
def test_a_share_of_every_row_is_hidden_and_at_least_one_event(share: float, expected: list[int]) -> None:
    cloze = scattered(ITEMS, LENGTHS, share)
    assert cloze.hidden_bl.sum(1).tolist() == cloze.asked_bm.sum(1).tolist() == expected
    assert not cloze.hidden_bl[torch.arange(11) >= LENGTHS[:, None]].any()
    assert sorted(cloze.answers.tolist()) == sorted(ITEMS[cloze.hidden_bl].tolist())


def test_all_places_are_as_likely_to_be_hidden_the_first_one_too() -> None:
    torch.manual_seed(0)
    cloze = scattered(torch.ones(4000, 8, dtype=torch.int64), torch.tensor([5, 8]).repeat(2000), 0.4)
    for first, length in enumerate((5, 8)):
        share_l = cloze.hidden_bl[first::2, :length].double().mean(0)
        torch.testing.assert_close(share_l, torch.full_like(share_l, round(0.4 * length) / length), atol=0.04, rtol=0)


def test_a_question_is_the_latest_known_events_and_a_hidden_one() -> None:
    chunks, lengths = (ITEMS[:3, :3], ITEMS[3:]), (LENGTHS[:3], LENGTHS[3:])
    total = 9 + 33
    at_P = torch.tensor([9 + 22 + 10, total, 0, 6, 8, 9 + 22 + 10, 9 + 22 + 2])
    history = History(chunks, lengths, (torch.arange(3), torch.arange(3, 6)), at_P, total)
    for most in (12, 4, 1):
        asked, session_P = questions(history, most)
        found: dict[int, list[int]] = {}
        for cloze, number_b in asked:
            for row, number in enumerate(number_b.tolist()):
                known = int(cloze.length_b[row]) - 1
                assert cloze.hidden_bl[row].nonzero()[:, 0].tolist() == cloze.place_bm[row].tolist() == [known]
                assert not cloze.item_bl[row, known:].any()
                found[number] = cloze.item_bl[row, :known].tolist()
        whole = [ITEMS[5], [], ITEMS[0, :1], ITEMS[2, :1], ITEMS[2, :3], ITEMS[5], ITEMS[5, :3]]
        latest = [list(map(int, items))[max(0, len(items) - most + 1) :] for items in whole]
        assert [found[number] for number in session_P.tolist()] == latest
        assert len(found) == 6


def test_first_values() -> None:
    torch.manual_seed(0)
    made = Guesser(32, blocks=2, heads=2, dropout=0.2, max_len=50)
    for name, parameter in made.named_parameters():
        value = parameter.detach()
        if name.endswith("bias"):
            assert not value.any()
        elif "norm" in name:
            assert (value == 1).all()
        else:
            assert 0.01 < float(value.std()) < 0.025
            assert float(value.abs().max()) <= 0.04
