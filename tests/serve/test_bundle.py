"""Versions of a run: what is broken is refused with one error, what is whole is taken up, and back again."""

from __future__ import annotations

import json
import shutil
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from crossrec.errors import InputError
from crossrec.serve import versions
from crossrec.serve.bundle import Bundle, Bundles
from crossrec.testing.served import HOSTILE, small_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return [small_run(folder / f"run{seed}", seed) for seed in (1, 2)]


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "run")


def flip(path, at=-9):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_bundle_knows_names_and_titles(run):
    bundle = Bundle.load(run)
    shelf = bundle.shelf("toys")
    place = int(bundle.places("toys", ["toys0"])[0])
    assert (shelf.id(place), shelf.title(place), shelf.category(place)) == ("toys0", HOSTILE, "kind 0")
    assert bundle.serves == ("toys", "games")
    assert bundle.event_counts.keys() == {"toys", "games"}
    assert sum(bundle.event_counts.values()) == bundle.recommender.data.num_interactions
    item = int(bundle.own_history(bundle.user("u0"))[0][0])
    named, at = bundle.named(item)
    assert named.first + at == item


def test_users_come_in_the_order_of_their_ids(run):
    bundle = Bundle.load(run)
    found, start = [], ""
    while page := bundle.users_after(start, 7):
        found += page
        start = page[-1]
    assert found == sorted(f"u{u}" for u in range(60))


def test_the_version_names_weights_config_and_data(made, run):
    assert Bundle.load(run).version == Bundle.load(made[0]).version != Bundle.load(made[1]).version


def cut_weights(run):
    path = run / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def text_for_weights(run):
    (run / "weights.safetensors").write_text("no weights")


def broken_weights(run):
    tensors = load_file(run / "weights.safetensors")
    next(value for value in tensors.values() if value.ndim == 2)[0, 0] = torch.nan
    save_file(tensors, run / "weights.safetensors")


def other_width(run):
    config = json.loads((run / "config.json").read_text())
    config["settings"]["dim"] = 16
    (run / "config.json").write_text(json.dumps(config))


def other_data(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "data_hash": "0" * 16}))


def no_data(run):
    shutil.rmtree(run / "data")


def cut_data(run):
    path = run / "data" / "item.npy"
    path.write_bytes(path.read_bytes()[:-4])


def other_model(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "model": "nonesuch"}))


def no_json(run):
    (run / "config.json").write_text("{")


def no_keys(run):
    (run / "config.json").write_text("{}")


BREAKS = [
    cut_weights,
    text_for_weights,
    broken_weights,
    other_width,
    other_data,
    no_data,
    cut_data,
    other_model,
    no_json,
    no_keys,
]


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda made: made.__name__)
def test_what_is_broken_is_refused_with_one_error(run, break_it):
    break_it(run)
    with pytest.raises(InputError) as error:
        Bundle.load(run)
    assert "\n  File" not in str(error.value)


def test_a_switch_takes_what_is_pointed_at_and_goes_back(made, run):
    bundles = Bundles(run)
    first = bundles.now
    assert not bundles.look()
    versions.publish(made[1], run, "second")
    assert not bundles.look(), "published is not pointed at"
    versions.point(run, "second")
    assert bundles.look()
    assert (bundles.now.name, bundles.now.version) == ("second", Bundle.load(made[1]).version)
    assert first.channels("toys").candidates(["u0"]), "who holds the old one goes on with it"
    assert not bundles.look()
    assert versions.rollback(run) == ""
    assert bundles.look()
    assert (bundles.now.name, bundles.now.version) == ("", first.version)
    assert versions.rollback(run) == "second"
    assert Bundles(run).now.name == "second", "a new start serves what is pointed at"


def test_a_broken_version_is_refused_and_the_old_one_is_served_on(made, run):
    bundles = Bundles(run)
    old = bundles.now
    place = versions.publish(made[1], run, "second")
    flip(place / "weights.safetensors")
    versions.point(run, "second")
    assert not bundles.look()
    assert bundles.now is old
    assert "not what was published" in bundles.refused
    assert bundles.refusals == 1
    assert not bundles.look(), "it is not tried again and again"
    versions.publish(made[1], run, "third")
    versions.point(run, "third")
    assert bundles.look()
    assert bundles.refused is None


def test_every_file_of_a_version_is_held_to_its_hash(made, run):
    place = versions.publish(made[1], run, "second")
    versions.verify(place)
    for file in [path for path in place.rglob("*") if path.is_file() and path.name != versions.MANIFEST]:
        whole = file.read_bytes()
        flip(file, len(whole) // 2)
        with pytest.raises(InputError, match="not what was published"):
            versions.verify(place)
        file.write_bytes(whole)
    (place / "run.json").unlink()
    with pytest.raises(InputError, match="missing"):
        versions.verify(place)


def test_a_version_that_serves_less_is_refused(run, made, tmp_path):
    from crossrec.models.sasrec import SASRec
    from crossrec.testing.served import titled_split
    from crossrec.train.fit import fit

    fit(SASRec(dim=8), titled_split(), epochs=1, seed=1).save(tmp_path / "less")
    bundles = Bundles(run)
    versions.publish(tmp_path / "less", run, "less")
    versions.point(run, "less")
    assert not bundles.look()
    assert "'games'" in bundles.refused


@pytest.mark.parametrize("name", ["../made", "a/b", "", ".", "..", "a..b", "current", "x" * 65, "a\0b", "a b"])
def test_a_pointer_leads_nowhere_else(run, name):
    bundles = Bundles(run)
    (run / "versions").mkdir()
    (run / "versions" / "current").write_text(name)
    assert not bundles.look()
    assert "names no version" in bundles.refused


def test_a_pointer_to_nothing_is_refused(run):
    bundles = Bundles(run)
    (run / "versions").mkdir()
    (run / "versions" / "current").write_text("nothing")
    assert not bundles.look()
    assert bundles.refused
    with pytest.raises(InputError, match="no such version"):
        versions.point(run, "nothing")
    with pytest.raises(InputError):
        Bundles(run)


def test_publishing_overwrites_nothing_and_takes_no_half_run(made, run, tmp_path):
    versions.publish(made[1], run, "second")
    with pytest.raises(InputError, match="is there already"):
        versions.publish(made[1], run, "second")
    (tmp_path / "half").mkdir()
    with pytest.raises(InputError, match="cannot be published"):
        versions.publish(tmp_path / "half", run, "third")
    with pytest.raises(InputError, match="no version was ever"):
        versions.rollback(run)


def test_neighbours_are_found_ahead_of_being_asked_of_those_with_the_most_events_first(run, monkeypatch):
    monkeypatch.setattr("crossrec.serve.bundle.AHEAD", 5)
    bundle = Bundle.load(run)
    neighbours = bundle.channels("toys").neighbours
    counts = np.bincount(bundle.recommender.data.item_E, minlength=len(neighbours.has_N))
    before = neighbours.unknown(np.arange(len(counts)))
    assert bundle.ahead()
    after = neighbours.unknown(before)
    assert len(after) == len(before) - 5
    assert counts[np.setdiff1d(before, after)].min() >= counts[after].max()
    while bundle.ahead():
        pass
    assert not len(neighbours.unknown(before))


def test_a_served_run_works_ahead_by_itself(run):
    held = Bundles(run)
    held.watch()
    neighbours = held.now.channels("games").neighbours
    deadline = time.monotonic() + 20
    while len(neighbours.unknown(np.arange(len(neighbours.has_N)))) and time.monotonic() < deadline:
        time.sleep(0.01)
    held.close()
    assert not len(neighbours.unknown(np.arange(len(neighbours.has_N))))
