"""One thread: the models here are tiny, and sums in one order make the golden curves exact. Fixtures that models share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Events
from crossrec.models.base import Model
from crossrec.models.tdiffrec import TDiffRec


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def ask_all() -> Callable[[Model, Dataset], Batch]:
    """``ask_all(model, data)``: a query per user of a dataset, after all events."""

    def ask(model: Model, data: Dataset) -> Batch:
        batcher = Batcher(Events(data.catalogue, data.item_E, data.time_E), model.views())
        offset, users = torch.as_tensor(data.offset_U1), torch.arange(data.num_users)
        return batcher.batch(model.target, users, offset[:-1], users, offset[1:], None)

    return ask


@pytest.fixture(scope="session")
def rows_of(ask_all: Callable[[Model, Dataset], Batch]) -> Callable[[TDiffRec, Dataset], Tensor]:
    """``rows_of(model, data)``: what a diffusion model makes of every user's events, (U, D), zeros included."""

    def rows(model: TDiffRec, data: Dataset) -> Tensor:
        known = model.known(ask_all(model, data))
        x_UD = known.weight_M.new_zeros(data.num_users, len(model.inward))
        x_UD[known.query_M, known.column_M] = known.weight_M
        return x_UD

    return rows
