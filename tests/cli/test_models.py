"""crossrec models, samplers and doctor."""

from __future__ import annotations

import pytest

from crossrec.models.table import MODELS
from crossrec.samplers.table import SAMPLERS


def test_models_lists_all(crossrec):
    told = crossrec("models", "--json").json()
    assert [one["name"] for one in told["models"]] == list(MODELS)
    assert all(one["doc"] and "default" in one["presets"] for one in told["models"])
    text = crossrec("models").out
    assert all(name in text for name in MODELS)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_setting_of_a_model_is_explained(crossrec, name):
    settings = crossrec("models", name, "--json").json()["settings"]
    assert [one["name"] for one in settings if not one["doc"]] == []
    assert crossrec("models", name).code == 0


def test_a_models_settings(crossrec):
    settings = {one["name"]: one for one in crossrec("models", "sasrec", "--json").json()["settings"]}
    assert settings["dim"]["default"] == 64
    assert settings["dim"]["doc"].startswith("Width of states")
    text = crossrec("models", "sasrec").out
    assert "dim = 64  (int)" in text
    assert "authors" in text


def test_samplers(crossrec):
    assert [one["name"] for one in crossrec("samplers", "--json").json()["samplers"]] == list(SAMPLERS)
    assert all(name in crossrec("samplers").out for name in SAMPLERS)
    assert "shared = False" in crossrec("samplers", "uniform").out
    assert crossrec("samplers", "uniform", "--json").json()["settings"][0]["default"] is False


def test_unknown_names(crossrec):
    for command, name, said in (("models", "sasrek", "'sasrec'"), ("samplers", "uniformly", "'uniform'")):
        outcome = crossrec(command, name)
        assert (outcome.code, outcome.out) == (2, "")
        assert f"Did you mean {said}?" in outcome.err


def test_doctor(crossrec, tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSREC_DATA", str(tmp_path))
    told = crossrec("doctor", "--json").json()
    assert told["problems"] == []
    assert told["data"] == str(tmp_path)
    assert all(told["required"].values())
    assert "All that is required is there." in crossrec("doctor").out


def test_doctor_exits_with_1_where_something_is_missing(crossrec, monkeypatch):
    from crossrec import doctor

    monkeypatch.setattr(doctor, "REQUIRED", ("numpy", "no_such_package"))
    outcome = crossrec("doctor", "--json")
    assert outcome.code == 1
    assert outcome.json()["required"]["no_such_package"] is None
    assert "no_such_package is missing" in outcome.err
