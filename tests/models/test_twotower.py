"""The two-encoder base."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from crossrec.data.batches import Batch, Batcher, TrainingRows
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Events, LeaveLastOut, Rows
from crossrec.errors import InputError
from crossrec.models.base import Phase
from crossrec.models.twotower import TwoTower
from crossrec.testing import ModelTests
from crossrec.testing.law import law_split
from crossrec.testing.worlds import Event, tiny_world, world_of
from crossrec.train.fit import fit

T1, T2, T3 = ("t", 0, 0), ("t", 1, 2), ("t", 2, 5)
S1, S2, S3 = ("s", 0, 1), ("s", 1, 3), ("s", 2, 4)
SMALL = {"dim": 4, "max_len": 5, "source_epochs": 1}


class TestTwoTower(ModelTests):
    model = TwoTower(dim=8, max_len=20, source_epochs=3)


def trained_on(history: list[Event], **settings: object) -> tuple[TwoTower, Batch, Dataset]:
    """A model, and the training batch of one user with this history."""
    data = world_of([history], {"t": 3, "s": 3})
    model = TwoTower(**SMALL, **settings).build(data.catalogue, "t", ["s"]).eval()
    start, stop = data.offset_U1[:-1], data.offset_U1[1:]
    batcher = Batcher(Events(data.catalogue, data.item_E), model.views())
    return model, TrainingRows(batcher, Rows(start * 0, start, stop), ["t"], "domain").batch(torch.tensor([0])), data


def known(batch: Batch, view: str) -> list[int | None]:
    """The last item of a view that each query knows; None where it knows none."""
    history = batch.histories[view]
    items = torch.cat([chunk.flatten() for chunk in history.chunks])
    return [None if at == history.total else int(items[at]) for at in history.at_P.tolist()]


def test_alignment() -> None:
    """Golden example of the specs of RealHNS, 1.3: t2 is asked after s1, t3 after s3."""
    _, batch, data = trained_on([T1, S1, T2, S2, S3, T3])
    t, s = data.catalogue.block("t"), data.catalogue.block("s")
    assert batch.positive_P.tolist() == [t[1], t[2]]
    assert known(batch, "t") == [t[0], t[1]]
    assert known(batch, "s") == [s[0], s[2]]


def test_alignment_without_an_earlier_source_event() -> None:
    model, batch, data = trained_on([T1, T2, ("s", 0, 3), S3, T3])
    assert known(batch, "s") == [None, data.catalogue.block("s")[2]]
    with torch.no_grad():
        torch.nn.init.normal_(model.tower("s").encoder.norm.bias)
        assert torch.equal(model.tower_states(batch, "s")[0], model.tower("s").encoder.norm.bias)


@torch.no_grad()
def test_fusion() -> None:
    """Sources first, then the target; LeakyReLU of slope .01 between two linear maps; items of the target's tower."""
    model, batch, data = trained_on([T1, S1, T2, S2, S3, T3], residual=False)
    joined = torch.cat([model.tower_states(batch, "s"), model.tower_states(batch, "t")], 1)
    first, _, second = model.fusion
    inner = joined @ first.weight.T + first.bias
    u = torch.where(inner > 0, inner, 0.01 * inner) @ second.weight.T + second.bias
    e = model.tower("t").table(torch.tensor(list(data.catalogue.block("t"))))
    expected = model.config.scale * F.normalize(u) @ F.normalize(e).T
    torch.testing.assert_close(model.scores(batch, "t"), expected)
    with pytest.raises(KeyError):
        model.tower("t").table.block("s")


@torch.no_grad()
def test_residual_fusion_starts_as_the_target_tower() -> None:
    model, batch, _ = trained_on([T1, S1, T2, S2, S3, T3], residual=True)
    assert torch.equal(model.queries(batch), model._ready(model.tower_states(batch, "t")))


class Watched(TwoTower):
    """Remembers the weights with which the phase began."""

    def begin(self, phase: Phase) -> None:
        super().begin(phase)
        self.before = {name: value.clone() for name, value in self.state_dict().items()}


def test_a_tower_is_trained_alone() -> None:
    """While one tower is trained, nothing else moves; then all do."""
    model, moved = Watched(dim=8, max_len=20, source_epochs=1), {}

    def log(record: dict[str, Any]) -> None:
        names = [name for name, value in model.state_dict().items() if not torch.equal(model.before[name], value)]
        moved[record["phase"]] = {".".join(name.split(".")[:2]) if "tower" in name else "fusion" for name in names}

    fit(model, law_split(), epochs=1, batch=32, negatives=8, lr=1e-2, log=log)
    assert moved == {
        "alone:games": {"towers.0"},
        "alone:toys": {"towers.1"},
        "joint": {"towers.0", "towers.1", "fusion"},
    }


def test_settings_of_the_phases() -> None:
    data = tiny_world(sizes={"toys": 30, "games": 20, "books": 10})
    model = TwoTower(**SMALL, pretrain_lr=5e-3, pretrain_negatives=1).build(data.catalogue, "games", ["toys", "books"])
    first, second, third, joint = model.phases()
    assert [phase.domain for phase in (first, second, third)] == ["toys", "books", "games"]
    assert first.train == second.train == {"lr": 5e-3, "negatives": 1, "epochs": 1}
    assert third.train == {"lr": 5e-3, "negatives": 1}
    assert joint == Phase("joint", "games")
    model.begin(second)
    assert dict(model.views().domains) == {"books": ("books",)}
    model.begin(joint)
    assert list(model.views().domains) == ["toys", "books", "games"]


def test_several_sources() -> None:
    data = tiny_world(sizes={"toys": 30, "games": 20, "books": 10})
    split = LeaveLastOut("games").apply(data)
    found = fit(TwoTower(**SMALL), split, epochs=1, negatives=8).recommend(users=["u1", "u2"], k=3)
    assert found.num_rows == 6


def test_needs_a_source_and_shared_users() -> None:
    apart = world_of([[("toys", i, i) for i in range(5)], [("games", i, i) for i in range(5)]], {"toys": 5, "games": 5})
    split = LeaveLastOut("toys").apply(apart)
    with pytest.raises(InputError, match="shares"):
        fit(TwoTower(**SMALL), split)
    with pytest.raises(InputError, match="needs 2 domains"):
        fit(TwoTower(**SMALL), split, sources=[])
