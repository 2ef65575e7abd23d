"""BERT4Rec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.batches import Batch, Batcher
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Events, LeaveLastOut
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.models.bert4rec import BERT4Rec
from crossrec.nn.cloze import Cloze, last_hidden
from crossrec.testing import ModelTests
from crossrec.testing.batches import close_under_autocast, training_batch
from crossrec.testing.law import law_split
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

Asked = Callable[[Model, Dataset], Batch]


class TestBERT4Rec(ModelTests):
    model = BERT4Rec(dim=32, max_len=20, mask_prob=0.4, last_only=1.0)


class TestMerged(ModelTests):
    model = BERT4Rec(dim=32, max_len=20, mask_prob=0.4, last_only=1.0, domains="merged")


class TestShort(ModelTests):
    model = BERT4Rec(dim=8, max_len=4, heads=1, blocks=1)
    least = None


def made(data: Dataset, *sources: str, **settings: Any) -> BERT4Rec:
    """A model with all weights at work for the domain toys, in double precision."""
    torch.manual_seed(0)
    model = BERT4Rec(**{"dim": 8, **settings}).build(data.catalogue, "toys", sources).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        model.table.weight[0] = 0
    return model


def guess(model: BERT4Rec, seen: list[int | None]) -> Tensor:
    """[o, 1] of the one hidden event of a row, run by itself."""
    hidden = torch.tensor([[item is None for item in seen]])
    place = hidden.nonzero()[:, 1:]
    row = torch.tensor([[item or 0 for item in seen]])
    cloze = Cloze(row, torch.tensor([len(seen)]), hidden, place, torch.ones_like(place, dtype=torch.bool))
    return F.pad(model.guesser(cloze, model.items(row)[..., :-1]), (0, 1), value=1.0)[0]


@pytest.mark.parametrize("max_len", [50, 5])
def test_every_query_is_its_own_row_with_one_event_hidden_behind(max_len: int) -> None:
    """All beginnings of all rows at once, each looked at both ways: the latest ``max_len`` - 1 events and the hidden one."""
    data = tiny_world(users=6)
    model = made(data, "games", domains="merged", max_len=max_len)
    offset = torch.as_tensor(data.offset_U1)
    row_P = torch.repeat_interleave(torch.arange(6), offset.diff())
    stop_P = torch.arange(data.num_interactions)
    inside_P = stop_P > offset[row_P + 1] - max_len  # beginnings that a row of the latest events still holds
    row_P, stop_P = row_P[inside_P], stop_P[inside_P]
    batcher = Batcher(Events(data.catalogue, data.item_E), model.views())
    found_PD = model.queries(batcher.batch("toys", torch.arange(6), offset[:-1], row_P, stop_P, None))
    for found, row, stop in zip(found_PD, row_P.tolist(), stop_P.tolist(), strict=True):
        first = max(int(offset[row]), int(offset[row + 1]) - 1 - max_len, stop - max_len + 1)
        torch.testing.assert_close(found, guess(model, [*data.item_E[first:stop].tolist(), None]))


@pytest.mark.parametrize("sources", [(), ("games",)])
def test_the_loss_is_the_mean_cross_entropy_of_hidden_events_among_their_domains(sources: tuple[str, ...]) -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=7))
    model = made(split.data, *sources, domains="merged", last_only=0.5)
    batch = training_batch(model, split)
    torch.manual_seed(5)
    clozes = model._hidden(batch.histories["history"])
    terms = []
    for cloze in clozes:
        guess_ND = F.pad(model.guesser(cloze, model.items(cloze.item_bl)[..., :-1]), (0, 1), value=1.0)
        for guess_D, item in zip(guess_ND, cloze.answers.tolist(), strict=True):
            block = next(model.block(name) for name in model.reads if item in model.block(name))
            logit_V = model.items(torch.arange(block.start, block.stop)) @ guess_D
            terms.append(F.cross_entropy(logit_V, torch.tensor(item - block.start)))
    torch.manual_seed(5)
    loss_P = model.loss(batch)
    assert len(loss_P) == len(batch)
    torch.testing.assert_close(loss_P, torch.stack(terms).mean().expand(len(batch)))


def test_rows_come_again_with_their_last_event_hidden_alone() -> None:
    """What a published port left out: without it nothing is trained as it is asked."""
    split = LeaveLastOut("toys").apply(tiny_world(users=200))
    for share in (0.0, 0.1, 1.0):
        model = made(split.data, last_only=share)
        history = training_batch(model, split).histories["history"]
        clozes = model._hidden(history)
        again = [cloze for cloze in clozes if torch.equal(cloze.hidden_bl, _last(cloze))]
        rows = sum(map(len, history.lengths))
        assert sum(len(cloze.length_b) for cloze in clozes) - rows == sum(len(cloze.length_b) for cloze in again)
        assert sum(len(cloze.length_b) for cloze in again) == pytest.approx(
            share * rows, abs=0.06 * rows * (share % 1 > 0)
        )


def _last(cloze: Cloze) -> Tensor:
    """Where each row's last event is."""
    return last_hidden(cloze.item_bl, cloze.length_b).hidden_bl


def test_an_event_hidden_at_the_first_place_counts() -> None:
    """A published port tells what is hidden by places above 0. Rows of one event have no other."""
    data = world_of([[("toys", 2, t) for t in range(3)], [("toys", 1, 0), ("toys", 3, 1), ("toys", 3, 2)]], {"toys": 5})
    split = LeaveLastOut("toys").apply(data)
    model = made(data, last_only=0.0, mask_prob=1.0)
    batch = training_batch(model, split)
    assert [chunk.tolist() for chunk in batch.histories["history"].chunks] == [[[3], [2]]]
    logit_V = model.items(torch.tensor([1, 2, 3, 4, 5])) @ guess(model, [None])
    expected = F.cross_entropy(logit_V.expand(2, -1), torch.tensor([2, 1]))
    torch.testing.assert_close(model.loss(batch)[0], expected)
    model.loss(batch).mean().backward()
    assert model.guesser.hidden.grad.any()
    assert model.guesser.positions.grad[0].any()


def test_twenty_users_are_learned_by_heart() -> None:
    split = LeaveLastOut("toys").apply(tiny_world(users=20, sizes={"toys": 40}))
    settings = {"dim": 32, "blocks": 1, "dropout": 0.0, "last_only": 1.0}
    model = fit(BERT4Rec(**settings), split, epochs=80, lr=1e-2, batch=20, first_eval=80).model
    torch.manual_seed(0)
    history = training_batch(model, split).histories["history"]
    with torch.no_grad():
        for item_bl, length_b in zip(history.chunks, history.lengths, strict=True):
            cloze = last_hidden(item_bl, length_b)
            best = (model._guess(cloze) @ model.item_block("toys").T).argmax(1) + model.block("toys").start
            assert float((best == cloze.answers).double().mean()) > 0.9


def test_heads_share_the_width() -> None:
    with pytest.raises(InputError, match="multiple of heads"):
        BERT4Rec(dim=6, heads=4)


def test_autocast_is_close_to_single_precision() -> None:
    split = law_split()
    model = made(split.data, last_only=0.5).float()
    batch = training_batch(model, split)
    close_under_autocast(lambda: model.loss(batch), rtol=0.05, atol=0.05)
