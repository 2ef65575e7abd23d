"""Gradients of item tables, gathered row by row, against dense ones from autograd."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossrec.data.vocabulary import Catalogue
from crossrec.nn.items import ItemTable
from crossrec.train.gradients import TableGradients

CATALOGUE = Catalogue({"toys": 12, "games": 7}, 3)


class TwoTables(nn.Module):
    """Two item tables and a dense layer; ``sparse`` looks rows up as the library does, else by a dense lookup."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.one, self.other = ItemTable(CATALOGUE, ["toys", "games"], 4), ItemTable(CATALOGUE, ["games"], 4)
            self.out = nn.Linear(4, 1)
        self.sparse = sparse

    def look_up(self, table: ItemTable, ids: Tensor) -> Tensor:
        return table(ids) if self.sparse else F.embedding(table.row_V[ids], table.weight, padding_idx=0)

    def forward(self, ids: Tensor, whole: bool) -> Tensor:
        e = self.look_up(self.one, ids) * self.look_up(self.one, ids.flip(0)) + self.look_up(self.other, ids)
        loss = self.out(e).square().sum()
        return loss + self.one.block("toys").square().sum() if whole else loss


@pytest.mark.parametrize("clip", [None, 0.5])
def test_step_by_step_the_gradients_are_those_of_autograd(clip):
    """Repeated ids, padding, ids of no table; another set of rows at every step; now and then the whole table at once."""
    generator = torch.Generator().manual_seed(1)
    models = TwoTables(True), TwoTables(False)
    optimizers = [torch.optim.AdamW(model.parameters(), 0.1) for model in models]
    tables = TableGradients()
    for step in range(8):
        ids = torch.randint(0, 20, (3 + step % 3, 2), generator=generator)
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            model(ids, whole=step in (3, 4)).backward()
            if model.sparse:
                assert step in (3, 4) or model.one.weight.grad.layout == torch.sparse_coo
                tables.collect(model)
        for (name, one), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
            assert one.grad.layout == torch.strided
            torch.testing.assert_close(one.grad, other.grad, msg=f"step {step}, {name}")
        for model, optimizer in zip(models, optimizers, strict=True):
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_buffers_are_kept():
    model, tables, places = TwoTables(True), TableGradients(), set()
    for _ in range(3):
        model.zero_grad(set_to_none=True)
        model(torch.tensor([[1, 2]]), whole=False).backward()
        tables.collect(model)
        places.add(model.one.weight.grad.data_ptr())
    assert len(places) == 1
