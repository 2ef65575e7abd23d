"""Protocols: what is ranked against what, when candidates are drawn, and what is kept of each instance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.data.batches import Batcher
from crossrec.data.dataset import Dataset
from crossrec.data.splits import AuthorsLeaveLastOut, LeaveLastOut, Split
from crossrec.errors import InputError
from crossrec.evaluation.protocols import Protocol, Ranking, num_negatives
from crossrec.models.sasrec import SASRec
from crossrec.testing.worlds import tiny_world


@pytest.fixture(scope="module")
def split() -> Split:
    return LeaveLastOut("toys").apply(tiny_world(users=30, sizes={"games": 20, "toys": 140}))


@pytest.fixture(scope="module")
def model(split) -> SASRec:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SASRec(dim=8, blocks=1).build(split.data.catalogue, "toys", ("games",))


def rank(name: str, split: Split, model: SASRec, *, seed: int = 0, part: str = "test", draw: int = 0) -> Ranking:
    held = getattr(split, part)
    return Protocol(name, held, seed).rank(model, Batcher(held.events, model.views()), draw)


def test_names():
    names = ("full", "unseen", "sampled:1", "sampled:99", "authors")
    assert [num_negatives(name) for name in names] == [None, None, 1, 99, 99]
    for wrong in ("sampled", "sampled:0", "sampled:-3", "sampled:9x", "Full", ""):
        with pytest.raises(InputError, match="There is no protocol"):
            num_negatives(wrong)


def test_full_ranks_every_item_of_the_domain(split, model):
    ranking = rank("full", split, model)
    assert set(ranking.candidates_N) == {140}
    assert ranking.negatives_hash is None
    assert 1 <= ranking.rank_N.min() < ranking.rank_N.max() <= 140
    np.testing.assert_array_equal(ranking.rank_N, rank("full", split, model, seed=5).rank_N)


@pytest.mark.parametrize("part", ["valid", "test"])
def test_unseen_leaves_out_what_the_input_holds(split, model, part):
    held, full, unseen = (
        getattr(split, part),
        rank("full", split, model, part=part),
        rank("unseen", split, model, part=part),
    )
    batcher, own = Batcher(held.events, model.views()), split.data.catalogue.block("toys")
    scores_NV = torch.cat([model.scores(batch, "toys") for batch in batcher.queries(held, 7)]).detach().numpy()
    for n, item in enumerate(held.item_N):
        known = set(held.events.item_E[held.start_N[n] : held.stop_N[n]].tolist()) & set(own) - {item}
        left = [id for id in own if id not in known]
        score = scores_NV[n, [id - own.start for id in left]]
        assert unseen.candidates_N[n] == len(left)
        assert unseen.rank_N[n] == 1 + (score > scores_NV[n, item - own.start]).sum()
    assert (unseen.rank_N <= full.rank_N).all()
    assert (unseen.rank_N < full.rank_N).any()
    assert unseen.negatives_hash is None


def test_unseen_keeps_a_held_out_item_that_is_in_the_input():
    toys = {"user": ["u"] * 5, "item": ["a", "b", "a", "b", "a"], "time": list(range(5))}
    games = {"user": ["u"], "item": ["g"], "time": [0]}
    data = Dataset.from_frames({"toys": toys, "games": games}, user="user", item="item", time="time")
    test = LeaveLastOut("toys").apply(data).test
    model = SASRec(dim=4, blocks=1).build(data.catalogue, "toys", ("games",))
    found = Protocol("unseen", test).rank(model, Batcher(test.events, model.views()))
    assert (found.rank_N.tolist(), found.candidates_N.tolist()) == ([1.0], [1])


def test_sampled_candidates_are_shared_by_models_and_evaluations(split, model):
    one = rank("sampled:20", split, model)
    other = rank("sampled:20", split, SASRec(dim=4, blocks=1).build(split.data.catalogue, "toys"), draw=7)
    assert set(one.candidates_N) == {21}
    assert one.negatives_hash == other.negatives_hash
    assert one.negatives_hash != rank("sampled:20", split, model, seed=1).negatives_hash
    assert one.negatives_hash != rank("sampled:20", split, model, part="valid").negatives_hash


def test_the_authors_candidates_are_drawn_at_every_evaluation(model):
    data = tiny_world(users=30, sizes={"games": 20, "toys": 140})
    test = AuthorsLeaveLastOut("toys").apply(data).test
    protocol = Protocol("authors", test)
    batcher = Batcher(test.events, model.views())
    first, second = (protocol.rank(model, batcher, draw) for draw in (1, 2))
    assert first.negatives_hash != second.negatives_hash
    assert first.negatives_hash == Protocol("authors", test).rank(model, batcher, 1).negatives_hash
    assert set(first.candidates_N) == {100}


def test_nothing_outside_is_drawn_from(split):
    torch.manual_seed(4)
    np.random.seed(4)  # noqa: NPY002 - the global generator is what is looked at
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - as above
    Protocol("sampled:9", split.test).candidates()
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002 - as above


def test_table_is_in_own_ids(split, model):
    ranking = rank("full", split, model)
    table = ranking.table()
    assert table.column_names == ["user_id", "item_id", "rank", "candidates", "history_games", "history_toys"]
    for n in (0, len(split.test) - 1):
        row = table.slice(n, 1).to_pylist()[0]
        start, stop, at = split.test.start_N[n], split.test.stop_N[n], split.test.at_N[n]
        block = split.data.catalogue.block("toys")
        known = split.events.item_E[start:stop]
        assert row["user_id"] == f"u{split.test.user_N[n]}"
        assert row["item_id"] == f"toys{split.events.item_E[at] - block.start}"
        assert row["history_toys"] == sum(item in block for item in known)
        assert row["history_games"] == sum(item not in block for item in known)
        assert row["rank"] == ranking.rank_N[n]


def test_summary_and_print(split, model):
    ranking = rank("full", split, model)
    summary = ranking.summary(("hr@10", "mrr"))
    assert summary["users"] == len(split.test)
    assert summary["hr@10"] == pytest.approx((ranking.rank_N <= 10).mean())
    text = str(ranking)
    assert text.startswith(f"toys, test, protocol full, {len(split.test)} users")
    assert f"mrr      {summary['mrr']:.4f}" in text


def test_a_leak_is_said(model):
    split = AuthorsLeaveLastOut("toys").apply(tiny_world(users=30, sizes={"games": 20, "toys": 140}))
    assert "the checkpoint was chosen on the test events" in str(rank("authors", split, model))
