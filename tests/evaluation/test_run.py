"""Evaluating a run folder: its own split made again, and the authors' population for a run of another split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.splits import AuthorsLeaveLastOut, LastMerged, LeaveLastOut
from crossrec.errors import InputError
from crossrec.evaluation.run import evaluate_run, held_out, num_trained_on, targets
from crossrec.experiments.results import protocols, read_results
from crossrec.recommender import Recommender
from crossrec.runs import RESULTS
from crossrec.train.fit import fit


@pytest.fixture(scope="module")
def data():
    """Five users with five toys and two games each; the same toy twice for the first."""
    toys = {"user_id": [], "item_id": [], "timestamp": []}
    games = {"user_id": [], "item_id": [], "timestamp": []}
    for user in range(5):
        for at in range(5):
            toys["user_id"].append(f"u{user}")
            toys["item_id"].append(f"t{(user * 3 + at * (user > 0)) % 120}")
            toys["timestamp"].append(10 * at)
        for at in range(2):
            games["user_id"].append(f"u{user}")
            games["item_id"].append(f"g{user + at}")
            games["timestamp"].append(10 * at + 5)
    for at in range(120):  # a catalogue of 120 toys: sixty users who only train
        toys["user_id"].append(f"x{at // 2}")
        toys["item_id"].append(f"t{at}")
        toys["timestamp"].append(at)
    return Dataset.from_frames({"toys": toys, "games": games}, time="timestamp")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = {"model_settings": {"dim": 4, "blocks": 1}, "epochs": 1, "negatives": 4}
    fit("sasrec", LeaveLastOut("toys").apply(data), out=out, **settings)
    return out


def test_held_out_is_the_part_that_the_run_was_trained_under(data, run):
    part = held_out(Recommender.load(run), "full")
    np.testing.assert_array_equal(part.at_N, LeaveLastOut("toys").apply(data).test.at_N)
    assert part.leak is None


def test_authors_population_for_an_honest_run(data, run):
    part = held_out(Recommender.load(run), "authors")
    np.testing.assert_array_equal(part.user_N, AuthorsLeaveLastOut("toys").apply(data).test.user_N)
    assert "none of the test events was trained on" in part.leak


def test_results_of_the_test_part_are_saved(run):
    ranking = evaluate_run(run, "sampled:3", "valid")
    assert not (run / RESULTS).exists()
    assert ranking.part.name == "valid"
    evaluate_run(run, "full")
    assert (run / RESULTS / "full.parquet").is_file()


@pytest.fixture(scope="module")
def both(data, tmp_path_factory):
    """A run of two targets."""
    out = tmp_path_factory.mktemp("runs") / "both"
    model = {"dim": 4, "blocks": 1, "domains": "merged", "guard": "none"}
    split = LastMerged("toys", also=("games",), ties="order").apply(longer(data))
    fit("sasrec", split, out=out, model_settings=model, epochs=1, negatives=4)
    return out


def longer(data):
    """Every other of the first users ends in games."""
    block, item_E = data.catalogue.block("games"), np.array(data.item_E)
    last = data.offset_U1[1:] - 1
    item_E[last[::2]] = block.start
    item_E[last[::2] - 1] = block.start + 1
    return replace(data, item_E=item_E)


def test_each_target_of_a_run_has_results_of_its_own(both):
    recommender = Recommender.load(both)
    assert targets(recommender) == ("toys", "games")
    rankings = {name: evaluate_run(both, "sampled:2", target=name) for name in targets(recommender)}
    assert {name: ranking.part.target for name, ranking in rankings.items()} == {"toys": "toys", "games": "games"}
    assert sorted(path.relative_to(both / RESULTS) for path in (both / RESULTS).rglob("*")) == [
        Path("games"),
        Path("games/sampled-2.parquet"),
        Path("sampled-2.parquet"),
    ]
    assert protocols(both) == ["sampled-2"]
    for name, asked in ((None, "toys"), ("toys", "toys"), ("games", "games")):
        found = read_results(both, "sampled:2", name)
        assert found.metadata["domain"] == asked
        assert len(found) == len(rankings[asked].rank_N)
        np.testing.assert_array_equal(found.rank_N, rankings[asked].rank_N)
    with pytest.raises(InputError, match=r"games/full\.parquet: no results"):
        read_results(both, "full", "games")


def test_a_domain_that_is_no_target_is_refused(run, both):
    with pytest.raises(InputError, match="Nothing of 'games' is held out here: the targets are 'toys'"):
        evaluate_run(run, target="games")
    with pytest.raises(InputError, match="the targets are 'toys', 'games'"):
        evaluate_run(both, target="books")


def test_num_trained_on_counts_events_and_not_items(data):
    """u0 has the same toy five times: its last is held out all the same."""
    honest = LeaveLastOut("toys").apply(data)
    authors = AuthorsLeaveLastOut("toys").apply(data).test
    assert len(authors) > 0
    assert num_trained_on(honest, authors) == 0
    kept = LeaveLastOut("toys", min_history=3).apply(data)
    everything = replace(kept, train=replace(kept.train, stop_N=data.offset_U1[1:][kept.train.user_N]))
    assert num_trained_on(everything, authors) == len(authors)
