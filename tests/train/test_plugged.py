"""A plug-in and the model that it looks into: two trainings from one command, resumed exactly, and never on another split."""

from __future__ import annotations

import json

import pytest
import torch

from crossrec.data.splits import LeaveLastOut
from crossrec.errors import InputError
from crossrec.plugins.base import Plugin
from crossrec.plugins.pdrec import PDRec
from crossrec.recommender import Recommender
from crossrec.testing.runs import Interrupted
from crossrec.testing.worlds import tiny_world
from crossrec.train.fit import fit

SOURCE = {"epochs": 2, "batch": 16, "hidden": 8, "lr": 1e-2}
TINY = {
    "batch": 16,
    "epochs": 3,
    "negatives": 4,
    "seed": 3,
    "model_settings": {"dim": 8, "blocks": 1},
    "checkpoint_seconds": 0.0,
    "plugin": "pdrec",
    "plugin_settings": {"coarse": 8, "fine": 2},
}
BOTH = TINY | {"preference_settings": SOURCE}


@pytest.fixture(scope="module")
def split():
    return LeaveLastOut("toys").apply(tiny_world(users=40))


@pytest.fixture(scope="module")
def run(split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit("sasrec", split, out=folder, **BOTH)
    return folder


def weights(folder) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def test_the_source_is_trained_first_as_a_run_of_its_own(split, run):
    source = Recommender.load(run / "preferences")
    assert (source.model.name, source.model.config.hidden, source.recipe["train"]["epochs"]) == ("tidiffrec", 8, 2)
    told = json.loads((run / "config.json").read_text())["plugin"]
    assert (told["name"], told["coarse"]) == ("pdrec", 8)
    assert told["preferences"] == source.recipe
    assert told["preferences"]["seed"] == 3


def test_progress_covers_both(split):
    seen = []
    fit("sasrec", split, log=lambda record: seen.append(record["phase"]), **BOTH)
    assert list(dict.fromkeys(seen)) == ["preferences: train", "train"]


def test_a_merged_encoder_looks_into_a_merged_source(split):
    settings = {"dim": 8, "blocks": 1, "domains": "merged", "guard": "none"}
    merged = fit("sasrec", split, **BOTH | {"model_settings": settings})
    assert merged.recipe["plugin"]["preferences"]["settings"]["domains"] == "merged"


def test_a_given_run_is_as_good_as_the_one_that_is_trained(split, run, tmp_path):
    fit("sasrec", split, out=tmp_path / "given", preferences=run / "preferences", **TINY)
    assert not (tmp_path / "given" / "preferences").exists()
    assert weights(tmp_path / "given") == weights(run)
    assert (tmp_path / "given" / "config.json").read_text() == (run / "config.json").read_text()


def test_the_plug_in_makes_a_difference_and_the_sampler_stays(split, run):
    plain = fit("sasrec", split, **{key: value for key, value in TINY.items() if not key.startswith("plugin")})
    plugged = Recommender.load(run)
    assert plain.recipe["sampler"] == plugged.recipe["sampler"]
    assert not torch.equal(plain.model.table.weight, plugged.model.table.weight)


@pytest.mark.parametrize("at", ["preferences: train 1", "train 2"])
def test_resume_is_exact_wherever_it_stopped(split, tmp_path, at):
    def stop(record):
        if f"{record['phase']} {record['epoch']}" == at:
            raise Interrupted

    settings = BOTH | {"preference_settings": {**SOURCE, "checkpoint_seconds": 0.0}}
    fit("sasrec", split, out=tmp_path / "whole", **settings)
    with pytest.raises(Interrupted):
        fit("sasrec", split, out=tmp_path / "run", log=stop, **settings)
    with pytest.raises(InputError, match="not empty"):
        fit("sasrec", split, out=tmp_path / "run", **settings)
    fit("sasrec", split, out=tmp_path / "run", resume=True, **settings)
    for name in ("weights.safetensors", "config.json", "preferences/weights.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_run_is_loaded(split, run):
    assert fit("sasrec", split, out=run, resume=True, **BOTH).info["command"] is None


def test_another_split_may_know_what_is_held_out(split, run):
    other = LeaveLastOut("toys", min_history=2).apply(split.data)
    with pytest.raises(InputError, match=r"another split .* may know what is held out"):
        fit("sasrec", other, preferences=run / "preferences", **TINY)
    games = LeaveLastOut("games").apply(split.data)
    with pytest.raises(InputError, match="another split"):
        fit("sasrec", games, preferences=run / "preferences", **TINY)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"plugin": None}, "name the plug-in, or leave them out"),
        ({"plugin": "pdrek"}, "Did you mean 'pdrec'"),
        ({"plugin": PDRec()}, "an object has its own"),
        ({"plugin_settings": {"corse": 3}}, "Did you mean 'coarse'"),
        ({"preference_settings": {"hiden": 3}}, "Did you mean 'hidden'"),
    ],
)
def test_what_does_not_fit_is_said(split, changed, message):
    with pytest.raises(InputError, match=message):
        fit("sasrec", split, **BOTH | changed)


def test_settings_of_a_source_that_is_given(split, run):
    with pytest.raises(InputError, match=r"leave preferences\.KEY out"):
        fit("sasrec", split, preferences=run / "preferences", **BOTH)


def test_only_a_model_with_its_own_loss_is_trained_by_it(split):
    with pytest.raises(InputError, match="no loss of its own"):
        fit("sasrec", split, loss="own", epochs=1)
    with pytest.raises(InputError, match="by its own loss alone"):
        fit("tidiffrec", split, loss="bce", epochs=1)


def test_a_model_with_its_own_loss_takes_no_plug_in(split):
    with pytest.raises(InputError, match="a plug-in has no place there"):
        fit("tidiffrec", split, epochs=1, plugin="pdrec")


def test_what_does_not_go_with_the_split_is_said_before_anything_is_trained(split, tmp_path):
    settings = BOTH | {"plugin_settings": {"exclude": "all"}}
    with pytest.raises(InputError, match="authors"):
        fit("sasrec", split, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_towers_are_pre_trained_without_it(split):
    plugged = {"model_settings": {"dim": 8, "source_epochs": 2}, "preference_settings": SOURCE}
    seen = []
    fit("twotower", split, log=seen.append, **TINY | plugged)
    assert {record["phase"] for record in seen if "plugin" in record} == {"joint"}


def test_phases_before_it_are_taken_over_from_a_run_without_it(split, tmp_path):
    towers = {"model_settings": {"dim": 8, "source_epochs": 2}, "batch": 16, "epochs": 2, "seed": 3}
    fit("twotower", split, out=tmp_path / "first", **towers)
    plugged = fit("twotower", split, start=tmp_path / "first", plugin="pdrec", preference_settings=SOURCE, **towers)
    assert plugged.info["taken_over"] == ["alone:games", "alone:toys"]


def test_a_plug_in_of_ones_own(split):
    class Doubling(Plugin):
        """Every positive counts twice."""

        name = "doubling"
        Config = PDRec.Config
        model = "pop"

        def prepare(self, split, rows, domain, frozen):
            self.prepared = domain

        def weights(self, batch):
            return torch.full((len(batch),), 2.0)

        def facts(self):
            return {"weight": 2.0}

    seen = []
    plain = {"batch": 16, "epochs": 1, "loss": "bce", "seed": 3}
    twice = fit("sasrec", split, plugin=Doubling, log=seen.append, **plain)
    assert seen[-1]["plugin"] == {"weight": 2.0}
    assert twice.recipe["plugin"]["preferences"]["model"] == "pop"
    once = fit("sasrec", split, **plain)
    assert not torch.equal(once.model.table.weight, twice.model.table.weight)
