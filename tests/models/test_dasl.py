"""DASL's dual attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from crossrec.data.batches import Batch, Batcher
from crossrec.data.splits import Events, LeaveLastOut
from crossrec.models.base import Phase
from crossrec.models.dasl import DASL
from crossrec.testing import ModelTests
from crossrec.testing.law import law_split
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

HISTORY = [("t", 0, 0), ("s", 0, 1), ("t", 1, 2), ("s", 1, 3), ("r", 1, 4), ("s", 2, 5), ("t", 2, 6)]
KNOWN = {"r": [0, 0, 0, 0, 0, 1, 1, 1], "s": [0, 0, 1, 1, 2, 2, 3, 3], "t": [0, 1, 1, 2, 2, 2, 2, 3]}
"""How many events of each domain precede each place of the history, and its end."""
SMALL: dict[str, Any] = {"dim": 4, "max_len": 5, "source_epochs": 1}


class TestDASL(ModelTests):
    model = DASL(dim=8, max_len=20, source_epochs=3)


def asked_everywhere(sources: tuple[str, ...] = ("r", "s"), **settings: Any) -> tuple[DASL, Batch]:
    """A model, and a batch of one row that asks before every event of the history and after the last."""
    data = world_of([HISTORY], {"t": 3, "s": 3, "r": 3})
    torch.manual_seed(1)
    model = DASL(**SMALL, **settings).build(data.catalogue, "t", sources).eval()
    torch.nn.init.normal_(model.attention.outer.weight, std=3.0)
    batcher = Batcher(Events(data.catalogue, data.item_E), model.views())
    zero_P, at_P = torch.zeros(8, dtype=torch.int64), torch.arange(8)
    return model, batcher.batch("t", zero_P[:1], zero_P[:1], zero_P, at_P, None)


def attended(model: DASL, batch: Batch, sources: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The formula, query by query: softmax over all known states of all domains, pooled domain by domain."""
    names = (*sources, "t")
    h = {name: model.tower(name).encoder.places(batch.histories[name], model.tower(name).table) for name in names}
    inner, outer = model.attention.inner, model.attention.outer.weight[0]
    pooled: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for p in range(len(batch)):
        known = [h[name][: KNOWN[name][p]] for name in names]
        logit = torch.cat([torch.tanh(states @ inner.weight.T + inner.bias) @ outer for states in known])
        weights = logit.softmax(0).split([len(states) for states in known])
        for name, weight, states in zip(names, weights, known, strict=True):
            pooled[name].append(weight @ states)
    return {name: torch.stack(rows) for name, rows in pooled.items()}


@pytest.mark.parametrize("sources", [("s",), ("r", "s")])
@torch.no_grad()
def test_one_softmax_over_the_states_of_all_domains(sources: tuple[str, ...]) -> None:
    model, batch = asked_everywhere(sources, residual=False)
    found, expected = model.domain_states(batch), attended(model, batch, sources)
    assert list(found) == [*sources, "t"]
    for name, c_PD in expected.items():
        torch.testing.assert_close(found[name], c_PD, msg=name)
        nothing = torch.tensor([count == 0 for count in KNOWN[name]])
        assert not found[name][nothing].any(), "what is not known is 0"
        assert found[name][~nothing].any(1).all()


@torch.no_grad()
def test_fusion_is_of_what_is_pooled_sources_first() -> None:
    model, batch = asked_everywhere(residual=False)
    pooled = attended(model, batch, ("r", "s"))
    u = model.fusion(torch.cat([pooled["r"], pooled["s"], pooled["t"]], 1))
    e = model.tower("t").table.block("t")
    expected = model.config.scale * F.normalize(u) @ F.normalize(e).T
    torch.testing.assert_close(model.scores(batch, "t"), expected)
    assert torch.isfinite(expected[0]).all(), "also of one who knows nothing"


@torch.no_grad()
def test_residual_fusion_starts_as_the_target_tower() -> None:
    model, batch = asked_everywhere()
    assert torch.equal(model.queries(batch), model._ready(model.tower_states(batch, "t")))
    assert {state.shape for state in model.domain_states(batch).values()} == {(8, 2 * 4)}, "all states are equally wide"
    torch.nn.init.normal_(model.get_parameter("fusion.2.weight"))
    pooled = attended(model, batch, ("r", "s"))
    u = model.fusion(torch.cat([pooled["r"], pooled["s"], pooled["t"]], 1)) + model.tower_states(batch, "t")
    torch.testing.assert_close(model.queries(batch), model.config.scale * F.normalize(u))


class Watched(DASL):
    """Remembers the weights with which the phase began."""

    def begin(self, phase: Phase) -> None:
        super().begin(phase)
        self.before = {name: value.clone() for name, value in self.state_dict().items()}


def test_attention_learns_when_all_towers_do() -> None:
    model, moved = Watched(dim=8, max_len=20, source_epochs=1, residual=False), {}

    def log(record: dict[str, Any]) -> None:
        names = [name for name, value in model.state_dict().items() if not torch.equal(model.before[name], value)]
        moved[record["phase"]] = {".".join(name.split(".")[:2]) if "tower" in name else name for name in names}

    fit(model, law_split(), epochs=1, batch=32, negatives=8, lr=1e-2, log=log)
    fusion = {f"fusion.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")}
    attention = {"attention.inner.weight", "attention.inner.bias", "attention.outer.weight"}
    assert moved == {
        "alone:games": {"towers.0"},
        "alone:toys": {"towers.1"},
        "joint": {"towers.0", "towers.1"} | fusion | attention,
    }


def test_several_sources_are_trained() -> None:
    split = LeaveLastOut("games").apply(tiny_world(sizes={"toys": 30, "games": 20, "books": 10}))
    found = fit(DASL(**SMALL), split, epochs=1, negatives=8).recommend(users=["u1", "u2"], k=3)
    assert found.num_rows == 6
