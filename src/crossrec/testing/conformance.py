"""What every model must do, as a class of tests to inherit. A model's whole test is

    class TestSASRec(ModelTests):
        model = SASRec(dim=8, max_len=20)

It runs under pytest and needs no import of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crossrec.data.batches import Batch, Batcher
from crossrec.data.dataset import Dataset
from crossrec.data.splits import Events, LeaveLastOut, Part, Split
from crossrec.errors import InputError
from crossrec.evaluation.evaluate import evaluate
from crossrec.models.base import Model
from crossrec.recommender import Recommender
from crossrec.testing.law import SIZES, SOURCE, TARGET, law_split
from crossrec.testing.runs import interrupt
from crossrec.train.fit import fit

QUICK: Mapping[str, Any] = {"epochs": 3, "batch": 32, "lr": 1e-2, "negatives": 16, "seed": 3}
LONG: Mapping[str, Any] = {**QUICK, "epochs": 60, "patience": 15}


class ModelTests:
    """The conformance tests. A subclass says which model, with settings that keep it small."""

    model: ClassVar[Model]
    """Never trained itself: every test makes another of its kind and settings."""
    least: ClassVar[float | None] = 0.8
    """Share of the users to whom the next item must be among 5 recommended, where every item is followed by the next
    one; None: the model cannot know the law.
    """
    _fitted: ClassVar[Recommender | None] = None

    def fit(self, split: Split | None = None, **settings: Any) -> Recommender:
        """Train for a moment."""
        return fit(type(self.model)(self.model.config), split or law_split(), **{**QUICK, **settings})

    def fitted(self) -> Recommender:
        """The model after a moment of training; made once for all tests, which leave it as it is."""
        kind = type(self)
        if kind._fitted is None:
            kind._fitted = self.fit()
        return kind._fitted

    def test_shapes(self) -> None:
        model, batch = self.fitted().model, whole(self.fitted())
        block = model.block(TARGET)
        ids_PC = torch.arange(block.start, block.start + 7).expand(len(batch), 7)
        with torch.no_grad():
            scores_PV = model.scores(batch, TARGET)
            assert scores_PV.shape == (len(batch), SIZES[TARGET]), "scores are (queries, items of the domain)"
            assert torch.isfinite(scores_PV).all(), "scores are finite numbers"
            close(
                model.candidate_scores(batch, ids_PC), scores_PV[:, :7], "scores of candidates are those of all items"
            )
            if model.product:
                q_PD, e_VD = model.queries(batch), model.item_block(TARGET)
                assert q_PD.shape[0] == len(batch)
                assert e_VD.shape == (SIZES[TARGET], q_PD.shape[1]), "item vectors are as wide as queries"
                assert model.items(ids_PC).shape == (*ids_PC.shape, q_PD.shape[1])
                close(model.items(ids_PC[0]), e_VD[:7], "an item's vector is its row of the block")
                close(q_PD @ e_VD.T, scores_PV, "the score is the product")

    def test_same_seed_same_weights(self) -> None:
        same(self.fit().model, self.fitted().model, "two runs of one seed")

    def test_score_does_not_depend_on_the_batch(self) -> None:
        recommender = self.fitted()
        together = score(recommender, whole(recommender))
        for user in range(0, len(together), 7):
            close(score(recommender, whole(recommender, [user]))[0], together[user], f"user {user} alone")

    def test_nothing_is_known_of_the_future(self) -> None:
        recommender = self.fitted()
        data = recommender.data
        for known in (0, 1, 3, 6):
            place_E = np.arange(data.num_interactions) - np.repeat(data.offset_U1[:-1], np.diff(data.offset_U1))
            asked = every_place(recommender, data.item_E)
            changed = every_place(recommender, poisoned(data, place_E >= known).item_E)
            before = asked.within_P <= known
            close(
                score(recommender, changed.batch)[before],
                score(recommender, asked.batch)[before],
                f"what the first {known} events give, whatever comes after",
            )

    def test_saved_is_loaded(self, tmp_path: Path) -> None:
        recommender = self.fitted()
        recommender.save(tmp_path / "run")
        loaded = Recommender.load(tmp_path / "run", model=type(self.model))
        users = recommender.data.users.ids(np.arange(20)).to_pylist()
        items = recommender.data.items[TARGET].ids(np.arange(SIZES[TARGET])).to_pylist()
        found, expected = loaded.score(users, items), recommender.score(users, items)
        assert np.array_equal(found, expected), "a saved model gives the very scores of the one that was saved"

    def test_resumed_is_uninterrupted(self, tmp_path: Path) -> None:
        records: list[Any] = []
        expected = self.fit(log=records.append)
        for at in sorted({len(records) // 2 + 1, len(records)} if records else ()):
            folder = tmp_path / f"run{at}"
            interrupt(self.fit, at, folder)
            resumed = self.fit(out=folder, resume=True, checkpoint_seconds=0.0)
            same(resumed.model, expected.model, f"a run killed at record {at} of {len(records)} and resumed")

    def test_one_user_batch(self) -> None:
        assert np.isfinite(evaluate(self.fit(batch=1, epochs=1), law_split().test).rank_N).all()

    def test_without_source_history(self) -> None:
        found = self.fitted().recommend(histories=[{TARGET: ["toys3", "toys4"]}, {SOURCE: ["games1"]}], k=3)
        assert found.num_rows == 6
        assert np.isfinite(found.column("score").to_numpy()).all()

    def test_without_any_history(self) -> None:
        found = self.fitted().recommend(histories=[{}], k=5)
        assert found.num_rows == 5, "somebody of whom nothing is known is recommended something"
        assert np.isfinite(found.column("score").to_numpy()).all()

    def test_unknown_items_are_passed_over(self) -> None:
        known, mixed = {TARGET: ["toys3", "toys4"]}, {TARGET: ["new", "toys3", "unheard of", "toys4", "newer"]}
        found = self.fitted().recommend(histories=[known, mixed], k=5).to_pydict()
        assert found["item"][:5] == found["item"][5:], "unknown ids change nothing"

    def test_k_beyond_the_catalogue(self) -> None:
        found = self.fitted().recommend(users=["u1"], k=10**6, filter_seen=False)
        assert sorted(found.column("item").to_pylist()) == sorted(f"toys{i}" for i in range(SIZES[TARGET]))

    def test_learns_a_planted_law(self) -> None:
        if self.least is None:
            return
        recommender, test = self.fit(**LONG), law_split().test
        asked = recommender.recommend(histories=known_before(test), k=5).to_pydict()
        expected = recommender.data.items[TARGET].ids(test.item_N - recommender.model.block(TARGET).start).to_pylist()
        hit = [expected[user] == item for user, item in zip(asked["user"], asked["item"], strict=True)]
        found = sum(hit) / len(test)
        assert found >= self.least, f"the next item is recommended to {found:.0%} of the users; by chance to 20 %"

    def test_unknown_setting_is_named(self) -> None:
        for field in dataclasses.fields(self.model.Config):
            said = ""
            try:
                type(self.model)(**{field.name + "x": 1})
            except InputError as error:
                said = str(error)
            assert field.name in said, f"{field.name}x is no setting: an error must name the nearest, found {said!r}"

    def test_training_is_blind_to_the_test(self) -> None:
        split = law_split()
        after_E = np.zeros(split.data.num_interactions, dtype=bool)
        for user, at in zip(split.valid.user_N, split.valid.at_N, strict=True):
            after_E[at + 1 : split.data.offset_U1[user + 1]] = True
        changed = LeaveLastOut(TARGET).apply(poisoned(split.data, after_E))
        assert not np.array_equal(changed.test.item_N, split.test.item_N)
        same(self.fit(changed).model, self.fitted().model, "runs on logs that differ after the validation events only")


@dataclasses.dataclass(frozen=True)
class Places:
    """A batch that asks before every event of every user; ``within_P`` is how many events the query knows."""

    batch: Batch
    within_P: Tensor


def known_before(part: Part) -> list[dict[str, list[str]]]:
    """What is known when each held-out event is asked for: own ids by domain, the target's last."""
    histories = []
    for start, stop in zip(part.start_N, part.stop_N, strict=True):
        item = part.events.item_E[start:stop]
        domain = part.events.domain_E[start:stop]
        numbers = {name: part.data.domains.index(name) for name in (SOURCE, TARGET)}
        blocks = {
            name: item[domain == number] - part.data.catalogue.block(name).start for name, number in numbers.items()
        }
        histories.append({name: part.data.items[name].ids(index).to_pylist() for name, index in blocks.items()})
    return histories


def whole(recommender: Recommender, users: list[int] | None = None) -> Batch:
    """One query per user, after all events."""
    data = recommender.data
    user = torch.arange(data.num_users) if users is None else torch.tensor(users)
    offset = torch.as_tensor(np.array(data.offset_U1))
    batcher = recommender.batcher(Events(data.catalogue, data.item_E))
    return batcher.batch(TARGET, user, offset[user], torch.arange(len(user)), offset[user + 1], None)


def every_place(recommender: Recommender, item_E: np.ndarray) -> Places:
    """Queries at every place of every history made of these items."""
    data = recommender.data
    batcher: Batcher = recommender.batcher(Events(data.catalogue, item_E))
    offset = torch.as_tensor(np.array(data.offset_U1))
    count_U = offset.diff()
    user_P = torch.repeat_interleave(torch.arange(data.num_users), count_U)
    stop_P = torch.arange(data.num_interactions)
    batch = batcher.batch(TARGET, torch.arange(data.num_users), offset[:-1], user_P, stop_P, None)
    return Places(batch, stop_P - offset[user_P])


def poisoned(data: Dataset, chosen_E: np.ndarray) -> Dataset:
    """The data with the chosen events' items replaced by others of the same domain."""
    item_E = np.array(data.item_E)
    starts = data.catalogue.starts
    domain = data.catalogue.domain_of(item_E)
    size = np.diff(starts)[domain]
    other_E = starts[domain] + (item_E - starts[domain] + 7) % size
    return dataclasses.replace(data, item_E=np.where(chosen_E, other_E, item_E).astype(np.int32))


def score(recommender: Recommender, batch: Batch) -> Tensor:
    """Scores (P, V) of the target's items."""
    with torch.no_grad():
        return recommender.model.scores(batch, TARGET)


def close(found: Tensor, expected: Tensor, what: str) -> None:
    """Raise unless two tensors agree to 1e-5."""
    assert found.shape == expected.shape, f"{what}: {tuple(found.shape)} against {tuple(expected.shape)}"
    largest = float((found - expected).abs().max()) if found.numel() else 0.0
    assert largest <= 1e-5 * max(1.0, float(expected.abs().max())), f"{what}: they differ by {largest:.2e}"


def same(found: Model, expected: Model, what: str) -> None:
    """Raise unless two models have the same weights, bit for bit."""
    theirs, ours = expected.state_dict(), found.state_dict()
    assert theirs.keys() == ours.keys()
    different = [name for name in theirs if not torch.equal(theirs[name], ours[name])]
    assert not different, f"{what} must have the same weights; different: {', '.join(different)}"
