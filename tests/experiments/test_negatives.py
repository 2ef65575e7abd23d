"""The quality of negatives: counted right, against the truth where it is known, and without a trace in the training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crossrec.cli import main
from crossrec.data.batches import Batch, Views
from crossrec.data.dataset import Dataset
from crossrec.data.simulate import Simulated, simulate
from crossrec.data.splits import LeaveLastOut, Split
from crossrec.data.truth import PlantedTruth
from crossrec.data.vocabulary import Catalogue
from crossrec.data.worlds import World
from crossrec.errors import InputError
from crossrec.experiments.negatives import Recorder, watch_negatives
from crossrec.experiments.quality import NEGATIVES, read_negatives
from crossrec.experiments.watched import HeldOut, Watch, Watched
from crossrec.models.base import Model
from crossrec.samplers.base import Negatives, Sampler
from crossrec.samplers.uniform import Uniform, UniformConfig
from crossrec.testing.runs import figures, stopped
from crossrec.testing.worlds import tiny_world, world_of
from crossrec.train.fit import fit

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "model_settings": {"dim": 8, "blocks": 1, "max_len": 10, "dropout": 0.3},
    "seed": 3,
    "epochs": 3,
    "negatives": 6,
    "batch": 8,
    "checkpoint_seconds": 0.0,
}


@dataclass(frozen=True)
class Nothing:
    """No settings."""


class Numbers(Model):
    """Scores every item by its id: the last is the best. In training it is the first: a dropout that cannot be missed."""

    name = "numbers"
    Config = Nothing

    def make(self, catalogue: Catalogue) -> None:
        self.vector = nn.Parameter(torch.arange(catalogue.num_ids, dtype=torch.float32)[:, None])

    def views(self) -> Views:
        return Views({})

    def queries(self, batch: Batch) -> Tensor:
        return torch.ones(len(batch), 1)

    def items(self, ids: Tensor) -> Tensor:
        return -self.vector[ids] if self.training else self.vector[ids]


class Fixed(Sampler):
    """Draws what it was told to."""

    name = "fixed"
    Config = Nothing
    drawn: Negatives

    def draw(self, batch: Batch, query_PD: Tensor, model: Model, count: int, generator: torch.Generator) -> Negatives:
        return self.drawn


class Telltale(Sampler):
    """Draws nothing but items that the split holds out for the user: what no sampler may know."""

    name = "telltale"
    Config = Nothing

    def __init__(self, split: Split | None = None) -> None:
        super().__init__()
        self.split = split

    def prepare(self, split: Split, domain: str, device: torch.device) -> None:
        super().prepare(split, domain, device)
        assert self.split is not None
        self.held = HeldOut(self.split, domain, device)

    def draw(self, batch: Batch, query_PD: Tensor, model: Model, count: int, generator: torch.Generator) -> Negatives:
        first_P, stop_P = self.held.offset_U1[batch.user_P], self.held.offset_U1[batch.user_P + 1]
        within_PK = torch.rand((len(batch), count), generator=generator) * (stop_P - first_P)[:, None]
        return Negatives(self.held.key_S[first_P[:, None] + within_PK.long()] % self.held.num_ids)


class Best(Uniform):
    """A random half of the negatives is drawn, the others are the best items under the model."""

    name = "best"
    Config = UniformConfig

    def draw(self, batch: Batch, query_PD: Tensor, model: Model, count: int, generator: torch.Generator) -> Negatives:
        with torch.no_grad():
            score_PV = model.selection_queries(batch) @ model.item_block(batch.domain).T
        best_PH = self.block.start + score_PV.topk(count // 2, 1).indices
        drawn = super().draw(batch, query_PD, model, count - count // 2, generator)
        return Negatives(drawn.ids, log_q=drawn.log_q, hard=Negatives(best_PH))


@pytest.fixture(scope="module")
def toy() -> Split:
    """Ten items, ids 1 to 10. User 0 has 1 2 3 in training and 4 5 after it; user 1 has 1 2, and 6 7."""
    histories = [[0, 1, 2, 3, 4], [0, 1, 5, 6]]
    data = world_of([[("toys", item, t) for t, item in enumerate(items)] for items in histories], {"toys": 10})
    return LeaveLastOut("toys").apply(data)


Look = Callable[..., dict[str, Any]]


@pytest.fixture
def look(toy: Split) -> Look:
    """The record of one batch of these negatives, for two queries of user 0 and one of user 1."""

    def look(drawn: Negatives, truth: Any = None) -> dict[str, Any]:
        watch = Watch(toy, truth)
        sampler = Watched(Fixed(), watch)
        model = Numbers().build(toy.data.catalogue, "toys")
        sampler.prepare(toy, "toys", CPU)
        sampler.inner.drawn = drawn  # type: ignore[attr-defined]  # it is the fixed one
        sampler.begin_epoch(model, 1, torch.Generator())
        batch = Batch("toys", {}, torch.tensor([0, 0, 1]), torch.tensor([2, 3, 2]))
        assert sampler.draw(batch, torch.zeros(3, 1), model, 2, torch.Generator()) is drawn
        recorder = Recorder(watch)
        recorder.log({"phase": "train", "epoch": 1})
        (record,) = recorder.records
        return record

    return look


def test_counts_by_hand(look: Look) -> None:
    hard = Negatives(torch.tensor([[10], [4], [4]]))
    record = look(Negatives(torch.tensor([[4, 10], [5, 4], [5, 7]]), hard=hard))
    assert (record["record"], record["phase"], record["epoch"], record["domain"]) == (1, "train", 1, "toys")
    assert record["hard_share"] == pytest.approx(3 / 9)
    drawn, hard_ones = record["drawn"], record["hard"]
    assert (drawn["negatives"], hard_ones["negatives"]) == (6, 3)
    assert drawn["later_clicked"] == pytest.approx(4 / 6)  # 4, 5 and 4 of user 0, 7 of user 1
    assert hard_ones["later_clicked"] == pytest.approx(1 / 3)
    expected = (2 / 7 + 2 / 7 + 2 / 8) / 3
    assert drawn["expected"] == hard_ones["expected"] == pytest.approx(expected)
    assert hard_ones["lift"] == pytest.approx(1 / 3 / expected)
    assert drawn["rank"] == pytest.approx((6 + 0 + 5 + 6 + 5 + 3) / 6 / 9)
    assert hard_ones["rank"] == pytest.approx((0 + 6 + 6) / 3 / 9)
    assert "true_top" not in drawn


def test_shared_negatives_count_for_every_query(look: Look) -> None:
    ids_M = torch.tensor([4, 4, 6, 9])
    assert look(Negatives(ids_M)) == look(Negatives(ids_M.expand(3, -1)))


def test_vectors_have_a_rank_alone(look: Look) -> None:
    record = look(Negatives(vectors=torch.tensor([[[10.5], [5.5]]]).expand(3, 2, 1)))
    assert record["drawn"]["rank"] == pytest.approx(0.25)
    assert record["drawn"]["later_clicked"] is record["drawn"]["expected"] is record["drawn"]["lift"] is None


def test_ties_are_in_the_middle(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Numbers, "queries", lambda self, batch: torch.zeros(len(batch), 1))
    assert look(Negatives(torch.tensor([1, 10])))["drawn"]["rank"] == 0.5


def test_against_the_truth(look: Look) -> None:
    """User 0 wants item 4 alone, user 1 item 7 three times as much as item 6."""
    wanted_UV = np.zeros((2, 10), dtype=np.float32)
    wanted_UV[0, 3], wanted_UV[1, 5], wanted_UV[1, 6] = 1, 1, 3
    found = look(Negatives(torch.tensor([[4, 5], [5, 5], [7, 6]])), lambda domain, user_N: wanted_UV[user_N])["drawn"]
    assert found["true_top"] == pytest.approx(2 / 6)
    assert found["true_affinity"] == pytest.approx((10 + 7.5 + 2.5) / 6)


def test_everything_that_a_sampler_does_is_passed_on() -> None:
    own = {name for name, value in vars(Sampler).items() if callable(value) and not name.startswith("_")}
    assert own - vars(Watched).keys() <= {"unseen"}, "what a watched sampler does not pass on"


class Remembering(Fixed):
    """Knows the epochs that it was told of, and its state."""

    def begin_epoch(self, model: Model, epoch: int, generator: torch.Generator) -> None:
        self.epoch = epoch

    def facts(self) -> dict[str, float]:
        return {"epoch": self.epoch}

    def state(self) -> dict[str, Tensor]:
        return {"epoch": torch.tensor(self.epoch)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.epoch = int(state["epoch"])


def test_epochs_state_and_facts_are_those_of_the_sampler_within(toy: Split) -> None:
    sampler = Watched(Remembering(), Watch(toy))
    sampler.prepare(toy, "toys", CPU)
    sampler.begin_epoch(Numbers(), 7, torch.Generator())
    assert (sampler.facts(), sampler.state()) == ({"epoch": 7}, {"epoch": torch.tensor(7)})
    sampler.load_state({"epoch": torch.tensor(5)})
    assert sampler.facts() == {"epoch": 5}
    assert sampler.name == "fixed"


@pytest.fixture(scope="module")
def split() -> Split:
    return LeaveLastOut("toys").apply(tiny_world())


def last(split: Split, sampler: Any, **settings: Any) -> dict[str, Any]:
    return watch_negatives("sasrec", split, sampler=sampler, **TINY | settings)[1][-1]


def test_a_sampler_that_draws_held_out_items_is_found_out() -> None:
    rng = np.random.default_rng(0)
    histories = [[("toys", int(item), t) for t, item in enumerate(rng.permutation(30)[:8])] for _ in range(20)]
    fresh = LeaveLastOut("toys").apply(world_of(histories, {"toys": 30}))  # nobody takes an item twice
    found = last(fresh, Telltale(fresh), epochs=1)["drawn"]
    assert found["later_clicked"] == 1
    assert found["lift"] == pytest.approx(1 / found["expected"])


def test_uniform_draws_are_as_expected(split: Split) -> None:
    found = last(split, "uniform", epochs=1, negatives=400, sampler_settings={"shared": False})
    assert found["hard"] is None
    assert found["hard_share"] == 0
    assert found["drawn"]["lift"] == pytest.approx(1, abs=0.03)
    assert found["drawn"]["negatives"] % 400 == 0


def test_the_best_items_rank_first(split: Split) -> None:
    found = last(split, Best)
    assert found["hard_share"] == 0.5
    assert found["hard"]["rank"] == pytest.approx((0 + 1 + 2) / 3 / 29)
    assert 0.3 < found["drawn"]["rank"] < 0.8


@pytest.mark.parametrize(
    ("sampler", "settings"),
    [("uniform", {}), ("popularity", {}), (Best, {"domains": "target"}), ("dns", {"domains": "target"})],
)
def test_watched_and_unwatched_runs_are_the_same(
    split: Split, tmp_path: Path, sampler: Any, settings: dict[str, Any]
) -> None:
    own = TINY["model_settings"] | {"domains": "merged", "predict": "all", "guard": "choose"} | settings
    arguments: dict[str, Any] = TINY | {"model_settings": own, "sampler": sampler, "epochs": 2}
    fit("sasrec", split, out=tmp_path / "plain", **arguments)
    watch_negatives("sasrec", split, out=tmp_path / "watched", **arguments)
    for name in ("weights.safetensors", "config.json"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "watched" / name).read_bytes()
    assert figures(tmp_path / "plain") == figures(tmp_path / "watched")
    assert not (tmp_path / "plain" / NEGATIVES).exists()
    records = read_negatives(tmp_path / "watched")
    if settings:
        assert [(record["phase"], record["epoch"]) for record in records] == [("train", 1), ("train", 2)]
    else:
        assert {(record["phase"], record["domain"]) for record in records} == {
            ("own", "toys"),
            ("merged", "toys"),
            ("merged", "games"),
        }


def test_a_resumed_run_goes_on_with_its_records(split: Split, tmp_path: Path) -> None:
    merged = TINY["model_settings"] | {"domains": "merged", "predict": "target", "guard": "choose"}
    arguments: dict[str, Any] = TINY | {"model_settings": merged, "sampler": Best, "epochs": 2}
    watch = partial(watch_negatives, "sasrec", split, **arguments)
    _, whole = watch(out=tmp_path / "whole")
    assert whole == read_negatives(tmp_path / "whole")
    for run in stopped(watch, range(1, 1 + len(figures(tmp_path / "whole"))), tmp_path):
        with (run / NEGATIVES).open("a") as file:
            file.write('{"record": 99, "pha')
        watch(out=run, resume=True)
        assert (run / NEGATIVES).read_text().splitlines()[: len(whole)] == [json.dumps(line) for line in whole]
        assert read_negatives(run) == whole


def test_without_negatives_there_is_nothing_to_watch(split: Split) -> None:
    with pytest.raises(InputError, match="draws no negatives"):
        watch_negatives("sasrec", split, loss="softmax")
    with pytest.raises(InputError, match="Did you mean 'epochs'"):
        watch_negatives("sasrec", split, epoch=3)


@pytest.fixture(scope="module")
def planted() -> Simulated:
    return simulate(World(users=150, items=200, events=20, interests=5, overlap=1, seed=2))


def test_the_truth_is_the_law_of_the_events(planted: Simulated, tmp_path: Path) -> None:
    """Probabilities sum to 1 over the world's items, and the events of all users are spread as they say."""
    data = Dataset.from_frames(planted.tables, time="timestamp")
    truth = PlantedTruth(data, planted)
    chance_UV = truth("toys", np.arange(data.num_users))
    assert chance_UV.shape == (data.num_users, len(data.items["toys"]))
    assert chance_UV.sum(1).max() <= 1 + 1e-5
    assert chance_UV.sum(1).mean() > 0.98  # an item or two was never taken, and is not in the data
    at_E = data.item_E - data.catalogue.block("toys").start
    user_E = np.repeat(np.arange(data.num_users), np.diff(data.offset_U1))
    inside_E = (at_E >= 0) & (at_E < len(data.items["toys"]))
    user_E, at_E = user_E[inside_E], at_E[inside_E]
    expected_V, found_V = chance_UV[user_E].sum(0), np.bincount(at_E, minlength=chance_UV.shape[1])
    assert np.corrcoef(expected_V, found_V)[0, 1] > 0.95
    shuffled_E = np.random.default_rng(0).permutation(at_E)
    assert chance_UV[user_E, at_E].mean() > 2 * chance_UV[user_E, shuffled_E].mean()
    again = PlantedTruth(data, planted.write(tmp_path / "world"))
    assert np.array_equal(again("toys", np.arange(9)), chance_UV[:9])


def test_truth_of_another_world_is_refused(planted: Simulated, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="knows no user u0"):
        PlantedTruth(tiny_world(), planted)
    with pytest.raises(InputError, match="is no simulated world"):
        PlantedTruth(tiny_world(), tmp_path)
    data = Dataset.from_frames({"books": planted.tables["toys"]}, time="timestamp")
    with pytest.raises(InputError, match="knows no domain 'books'"):
        PlantedTruth(data, planted)


def test_hard_negatives_are_more_wanted_than_drawn_ones(planted: Simulated) -> None:
    """A model that has learnt something puts first what users truly want: its hardest negatives are no negatives."""
    data = Dataset.from_frames(planted.tables, time="timestamp")
    split = LeaveLastOut("toys").apply(data)
    own = {"dim": 16, "blocks": 1, "max_len": 20}
    settings = TINY | {"model_settings": own, "epochs": 8, "batch": 32, "lr": 1e-2, "sampler_settings": {}}
    found = watch_negatives("sasrec", split, sampler=Best, truth=PlantedTruth(data, planted), **settings)[1][-1]
    assert found["hard"]["true_affinity"] > 1.5 * found["drawn"]["true_affinity"]
    assert found["hard"]["true_top"] > 2 * found["drawn"]["true_top"]
    assert found["hard"]["lift"] > 1.5


def test_command_line(planted: Simulated, tmp_path: Path) -> None:
    world = planted.write(tmp_path / "world")
    prepared = Dataset.from_folder(world).save(tmp_path / "prepared")
    words = ["train", str(prepared), "--target", "toys", "--model", "sasrec"]
    words += [word for setting in ("dim=8", "blocks=1", "epochs=1", "negatives=8") for word in ("--set", setting)]
    for name, more in (("watched", ["--watch-negatives"]), ("true", ["--truth", str(world)]), ("plain", [])):
        with pytest.raises(SystemExit) as left:
            main([*words, *more, "--out", str(tmp_path / name)])
        assert not left.value.code
    assert "true_top" not in read_negatives(tmp_path / "watched")[0]["drawn"]
    assert 0 <= read_negatives(tmp_path / "true")[0]["drawn"]["true_top"] <= 1
    assert read_negatives(tmp_path / "plain") == []
    weights = {(tmp_path / name / "weights.safetensors").read_bytes() for name in ("watched", "true", "plain")}
    assert len(weights) == 1
