"""SASRec."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crossrec.data.batches import Batcher, TrainingRows
from crossrec.data.splits import Events, Rows
from crossrec.models.sasrec import SASRec
from crossrec.testing import ModelTests
from crossrec.testing.worlds import world_of

LENGTH = 12


class TestSASRec(ModelTests):
    model = SASRec(dim=8, max_len=20)


class TestMerged(ModelTests):
    model = SASRec(dim=8, max_len=20, domains="merged")


class TestAttendingPadding(ModelTests):
    model = SASRec(dim=8, max_len=20, heads=2, attend_padding=True)


def padded(model: SASRec, items: list[int]) -> Tensor:
    """States of all places of one history padded to ``LENGTH`` on the left, as published code has it: (LENGTH, D)."""
    encoder, dim = model.encoder, model.config.dim
    items = items[-LENGTH:]
    ids = torch.tensor([0] * (LENGTH - len(items)) + items)
    real = (ids > 0).float()[:, None]
    x = real * (dim**0.5 * model.table(ids) + encoder.positions)
    for block in encoder.blocks:
        attention = torch.nn.MultiheadAttention(dim, model.config.heads, batch_first=True)
        theirs = block.attention
        attention.load_state_dict(
            {
                "in_proj_weight": theirs.in_weight,
                "in_proj_bias": theirs.in_bias,
                "out_proj.weight": theirs.out.weight,
                "out_proj.bias": theirs.out.bias,
            }
        )
        q = block.norm_q(x)
        ahead = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
        y = block.norm_y(q + attention(q[None], x[None], x[None], attn_mask=ahead, need_weights=False)[0][0])
        x = real * (y + block.down(F.relu(block.up(y))))
    return encoder.norm(x)


@pytest.mark.parametrize("heads", [1, 2])
@torch.no_grad()
def test_cropped_is_padded(heads: int) -> None:
    """The states of rows that are never padded are those of rows padded to ``max_len`` and attended to."""
    torch.manual_seed(0)
    lengths = [1, 2, 3, 5, 8, 11, 12, 15]
    histories = [[("toys", (3 * u + t * t) % 25, t) for t in range(n)] for u, n in enumerate(lengths)]
    data = world_of(histories, {"toys": 25})
    model = SASRec(dim=8, heads=heads, max_len=LENGTH, attend_padding=True).build(data.catalogue, "toys").eval()
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    offset = torch.as_tensor(data.offset_U1)
    row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    stop = torch.arange(len(row)) + 1
    inside = stop > offset[row + 1] - LENGTH  # states that a row of the latest LENGTH events still holds
    row, stop = row[inside], stop[inside]
    batcher = Batcher(Events(data.catalogue, data.item_E), model.views())
    users = torch.arange(len(lengths))
    found = model.states(batcher.batch("toys", users, offset[:-1], row, stop, None))
    for n, (u, s) in enumerate(zip(row.tolist(), stop.tolist(), strict=True)):
        items = data.item_E[offset[u] : offset[u + 1]].tolist()
        expected = padded(model, items)[
            LENGTH - min(LENGTH, len(items)) + s - 1 - max(int(offset[u]), int(offset[u + 1]) - LENGTH)
        ]
        torch.testing.assert_close(found[n], expected, atol=1e-5, rtol=0)
    empty = batcher.batch("toys", users[:1], offset[:1], row[:1], offset[:1], None)
    torch.testing.assert_close(model.states(empty)[0], padded(model, [])[-1], atol=1e-5, rtol=0)


def test_merged_states_are_those_just_before_the_positive() -> None:
    """The golden index of the specs of PDRec, 2.4: of [t1, s1, t2, s2, s3, t3] the positives t2 and t3 stand after s1, s3."""
    history = [("t", 0, 0), ("s", 0, 1), ("t", 1, 2), ("s", 1, 3), ("s", 2, 4), ("t", 2, 5)]
    data = world_of([history], {"t": 3, "s": 3})
    model = SASRec(dim=4, max_len=8, domains="merged", guard="none").build(data.catalogue, "t", ["s"])
    events = Events(data.catalogue, data.item_E)
    start, stop = data.offset_U1[:-1], data.offset_U1[1:]
    rows = TrainingRows(Batcher(events, model.views()), Rows(start * 0, start, stop), ["t"], first="domain")
    batch = rows.batch(torch.tensor([0]))
    merged = batch.histories["history"]
    t, s = data.catalogue.block("t"), data.catalogue.block("s")
    assert batch.positive_P.tolist() == [t[1], t[2]]
    assert merged.chunks[0].tolist() == [[t[0], s[0], t[1], s[1], s[2]]]
    assert merged.chunks[0].flatten()[merged.at_P].tolist() == [s[0], s[2]]
    assert (8 - 6 + merged.at_P).tolist() == [3, 6]  # the slots of the golden array [0, 0, t1, s1, t2, s2, s3, t3]
