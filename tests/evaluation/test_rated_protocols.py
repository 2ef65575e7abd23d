"""Protocols beside ranking one item: what each asks a model, checked against loops over a tiny world."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from crossrec.data.batches import Batcher, Views
from crossrec.data.scale import Scale
from crossrec.data.splits import ColdTarget, Ratio, Split
from crossrec.errors import InputError
from crossrec.evaluation.protocols import check_metric, kind_of, open_protocol
from crossrec.evaluation.ratings import Biases
from crossrec.evaluation.tasks import usual
from crossrec.models.base import Model
from crossrec.testing.worlds import tiny_world


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """None."""


class Planted(Model):
    """Scores as planted, whoever asks."""

    name = "planted"
    Config: ClassVar[type] = NoSettings

    def __init__(self, split: Split, score_UI: np.ndarray) -> None:
        nn.Module.__init__(self)
        self.catalogue, self.target = split.data.catalogue, split.target
        self.score_UI = nn.Parameter(torch.tensor(score_UI, dtype=torch.float32))

    def views(self) -> Views:
        return Views({})

    def queries(self, batch):
        return self.score_UI[batch.user_P]

    def items(self, ids):
        return torch.eye(self.score_UI.shape[1])[ids]


@pytest.fixture(scope="module")
def split() -> Split:
    data = tiny_world(users=25, sizes={"toys": 40, "games": 12}, events=24)
    rating_E = np.random.default_rng(1).integers(1, 6, data.num_interactions).astype(np.float32)
    return Ratio("toys", 0.2, 0.3).apply(dataclasses.replace(data, rating_E=rating_E))


@pytest.fixture(scope="module")
def model(split) -> Planted:
    """Few distinct scores, so that there are ties."""
    shape = split.data.num_users, split.data.catalogue.num_ids
    return Planted(split, np.random.default_rng(2).integers(-3, 4, shape) / 2)


def measured(name: str, split: Split, model: Planted, **given):
    part = given.pop("part", split.test)
    return open_protocol(name, part, **given).measure(model, Batcher(part.events, model.views()))


def test_a_rating_is_the_share_of_the_scale_that_the_sigmoid_says(split, model):
    found, part = measured("ratings", split, model, offset=0.5), split.test
    score = 0.5 + model.score_UI.detach().numpy()[part.user_N, part.item_N]
    np.testing.assert_allclose(found.predicted_N, 1 + 4 / (1 + np.exp(-score)), rtol=1e-5)
    np.testing.assert_array_equal(found.rating_N, part.events.rating_E[part.at_N])
    assert found.value("mae") == pytest.approx(np.abs(found.rating_N - found.predicted_N).mean())
    assert found.summary()["ratings"] == len(part)


def test_a_rating_head_may_say_the_share_itself_and_is_clipped_to_the_scale(split, model, monkeypatch):
    monkeypatch.setattr(Planted, "rating", lambda model, logits, offset: logits)
    found = measured("ratings", split, model, scale=Scale(0, 10))
    score = model.score_UI.detach().numpy()[split.test.user_N, split.test.item_N]
    np.testing.assert_allclose(found.predicted_N, 10 * score.clip(0, 1))


def test_events_without_a_rating_are_not_asked(split, model):
    rating_E = split.events.rating_E.copy()
    rating_E[split.test.at_N[::2]] = np.nan
    part = dataclasses.replace(split.test, events=dataclasses.replace(split.events, rating_E=rating_E))
    assert len(measured("ratings", split, model, part=part).rating_N) == len(part) // 2
    bare = dataclasses.replace(part, events=dataclasses.replace(split.events, rating_E=None))
    with pytest.raises(InputError, match="has a rating"):
        open_protocol("ratings", bare)


def test_baselines_by_hand(split, model):
    trained, rating_E, data = np.zeros(len(split.events.item_E), bool), split.events.rating_E, split.data
    for start, stop in zip(split.train.start_N, split.train.stop_N, strict=True):
        trained[start:stop] = True
    user_E = np.repeat(np.arange(data.num_users), np.diff(data.offset_U1))
    at_T = np.flatnonzero(trained & (split.events.domain_E == data.domains.index("toys")))
    mean = rating_E[at_T].mean()
    item = {i: (rating_E[at_T][split.events.item_E[at_T] == i] - mean) for i in set(split.events.item_E[at_T])}
    item = {i: above.sum() / (10 + len(above)) for i, above in item.items()}
    left = rating_E[at_T] - mean - np.array([item[i] for i in split.events.item_E[at_T]])
    predicted = []
    for user, asked in zip(split.test.user_N, split.test.item_N, strict=True):
        own = left[user_E[at_T] == user]
        predicted.append(np.clip(mean + own.sum() / (10 + len(own)) + item.get(asked, 0.0), 1, 5))
    found = Biases(split, "toys", Scale()).predict(split.test)
    np.testing.assert_allclose(found["biases"], predicted, rtol=1e-5)
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-6)
    beside = measured("ratings", split, model).beside(split, Scale())
    error = np.abs(np.array(predicted) - beside.rating_N).mean()
    assert beside.baselines["biases"]["mae"] == pytest.approx(error, rel=1e-5)
    np.testing.assert_array_equal(beside.known_N, [asked in item for asked in split.test.item_N])
    alone = [
        mean + left[user_E[at_T] == user].sum() / (10 + (user_E[at_T] == user).sum()) for user in split.test.user_N
    ]
    np.testing.assert_allclose(beside.fallback_N, np.clip(alone, 1, 5), rtol=1e-5)


@pytest.mark.parametrize("name", ["valid", "test"])
def test_negatives_of_clicks_are_frozen_and_never_touched(split, model, name):
    part = getattr(split, name)
    one, other = (measured("clicks", split, model, part=part) for _ in range(2))
    assert one.negatives_hash == other.negatives_hash
    assert one.negatives_hash != measured("clicks", split, model, part=part, seed=1).negatives_hash
    assert one.negatives_hash == measured("sampled:1", split, model, part=part).negatives_hash
    touched = {
        (user, item)
        for user, (a, b) in enumerate(zip(split.data.offset_U1[:-1], split.data.offset_U1[1:], strict=True))
        for item in split.data.item_E[a:b]
    }
    assert not touched & set(zip(part.user_N, one.drawn_N, strict=True))
    block = split.data.catalogue.block("toys")
    assert ((one.drawn_N >= block.start) & (one.drawn_N < block.stop)).all()
    score = model.score_UI.detach().numpy()
    np.testing.assert_array_equal(one.positive_N, score[part.user_N, part.item_N])
    np.testing.assert_array_equal(one.negative_N, score[part.user_N, one.drawn_N])
    assert one.table()["negative_id"][0].as_py().startswith("toys")


@pytest.mark.parametrize("name", ["liked", "liked:7"])
def test_liked_items_are_ranked_together_ties_against_them(split, model, name):
    part, score = split.test, model.score_UI.detach().numpy()
    found = measured(name, split, model)
    protocol = open_protocol(name, part)
    drawn = None if protocol.count is None else protocol.candidates()
    block = split.data.catalogue.block("toys")
    rating_N = part.events.rating_E[part.at_N]
    expected, users = [], 0
    for user in np.unique(part.user_N):
        mine = part.user_N == user
        liked = sorted(
            {int(item) for item, rating in zip(part.item_N[mine], rating_N[mine], strict=True) if rating >= 4}
        )
        if not liked:
            continue
        a, b = split.data.offset_U1[user : user + 2]
        seen = set(split.data.item_E[a:b].tolist())
        others = [item for item in block if item not in seen] if drawn is None else drawn[users].tolist()
        assert not seen & set(others)
        for item in liked:
            candidates = [other for other in (*liked, *others) if other != item]
            expected.append(1 + sum(score[user, other] >= score[user, item] for other in candidates))
        users += 1
    np.testing.assert_array_equal(found.rank_N, expected)
    assert found.summary()["users"] == users
    assert (found.negatives_hash is None) == (name == "liked")


def test_a_score_that_is_no_number_is_ranked_last(split):
    score_UI = np.zeros((split.data.num_users, split.data.catalogue.num_ids))
    model = Planted(split, score_UI)
    model.logits = lambda query_PD, vectors, domain: torch.full((len(query_PD), vectors.shape[-2]), torch.nan)
    found = measured("liked:7", split, model)
    per_user = np.unique(found.part.user_N, return_counts=True)[1]
    np.testing.assert_array_equal(found.rank_N, np.repeat(7 + per_user, per_user))


def test_without_ratings_everything_is_liked(split, model):
    events = dataclasses.replace(split.events, rating_E=None)
    part = dataclasses.replace(split.test, events=events)
    pairs = set(zip(part.user_N, part.item_N, strict=True))
    assert len(measured("liked:5", split, model, part=part).rank_N) == len(pairs)


def test_a_held_out_event_of_a_cold_user_knows_all_sources_and_nothing_of_the_target():
    split = ColdTarget("toys", 0.2, 0.3).apply(tiny_world(users=40))
    for part in (split.valid, split.test):
        lengths = part.history_lengths()
        assert (lengths["toys"] == 0).all()
        assert (lengths["games"] > 0).all()


def test_names_of_protocols_and_metrics():
    assert [kind_of(name).name for name in ("full", "ratings", "clicks")] == ["ranking", "ratings", "clicks"]
    for protocol, metric in (("ratings", "ndcg@5"), ("clicks", "mae"), ("full", "mae"), ("liked:100", "ndcg@5/neg50")):
        with pytest.raises(InputError, match="no metric"):
            check_metric(protocol, metric)
    for wrong in ("liked:0", "rating", "liked:a"):
        with pytest.raises(InputError, match="no protocol"):
            kind_of(wrong)
    check_metric("liked:100", "ndcg@5/neg100")


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"task": "ranking"}, ("full", "ndcg@10")),
        ({"task": "ratings"}, ("ratings", "mae")),
        ({"task": "clicks"}, ("clicks", "auc")),
        ({"task": "ranking", "metric": "auc"}, ("full", "auc")),
        ({"task": "ratings", "metric": "ndcg@5/neg100"}, ("liked:100", "ndcg@5/neg100")),
        ({"task": "ratings", "metric": "ndcg@5/full"}, ("liked", "ndcg@5/full")),
        ({"task": "ratings", "protocol": "full"}, ("full", "ndcg@10")),
        ({"task": "ranking", "metric": "rmse"}, ("ratings", "rmse")),
        ({"task": "ranking", "protocol": "liked:9"}, ("liked:9", "ndcg@5/neg9")),
    ],
)
def test_protocol_and_metric_follow_from_each_other_and_from_the_task(given, expected):
    assert usual(**given) == expected


def test_ratings_without_an_order_are_not_ranked(split, model):
    rating_E = np.full(len(split.events.item_E), 4.0, dtype=np.float32)
    part = dataclasses.replace(split.test, events=dataclasses.replace(split.events, rating_E=rating_E))
    found = measured("ratings", split, model, part=part).summary()
    assert found["users_ordered"] == 0
    assert found.keys() & {"mae", "rmse", "ndcg@5/rated"} == {"mae", "rmse"}
