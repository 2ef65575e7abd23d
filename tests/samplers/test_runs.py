"""Runs with hard negatives: the seed decides them bit for bit, they resume exactly, and they take over earlier phases."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import torch

from crossrec.recommender import Recommender
from crossrec.samplers.hard import HardSampler
from crossrec.samplers.table import SAMPLERS
from crossrec.testing.runs import figures, stopped
from crossrec.train.fit import fit

HARD = [name for name, kind in SAMPLERS.items() if issubclass(kind, HardSampler)]
SETTINGS: dict[str, dict[str, Any]] = {
    "srns": {"memory": 12, "watched": 20},
    "realhns": {"start": 1, "every": 1, "step": 4, "item_clusters": 5, "user_clusters": 3, "outliers": 0.5},
}
"""RealHNS: none in the first epoch, four in the second, eight in the third, ten and the cross-domain ones in the fourth."""


def arguments(name: str, **more: Any) -> dict[str, Any]:
    settings = {"dim": 8, "blocks": 1, "max_len": 10, "source_epochs": 1, "pretrain_negatives": 4}
    found = {"sampler": name, "sampler_settings": SETTINGS.get(name, {}), "model_settings": settings, "seed": 3}
    return {**found, "epochs": 4, "negatives": 16, "batch": 16, "eval_every": 1, "checkpoint_seconds": 0.0, **more}


def same(one: Recommender, other: Recommender) -> bool:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", HARD)
def test_the_seed_decides(name, split) -> None:
    runs = [fit("twotower", split, **arguments(name, epochs=2, seed=seed)) for seed in (3, 3, 4)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.parametrize("name", ["srns", "realhns"])
def test_a_stopped_run_goes_on_exactly(name, split, tmp_path) -> None:
    """Stopped after each record of the joint phase: what the sampler has learned goes on as well."""
    train, records = partial(fit, "twotower", split, **arguments(name)), []
    done = train(out=tmp_path / "whole", log=records.append)
    joint = [number for number, record in enumerate(records, start=1) if record["phase"] == "joint"]
    assert len(joint) == 5
    for run in stopped(train, joint[1:], tmp_path):
        assert same(train(out=run, resume=True), done)
        assert figures(run) == figures(tmp_path / "whole")


def test_facts_are_recorded(split) -> None:
    records: list[Any] = []
    fit("twotower", split, log=records.append, **arguments("realhns"))
    joint = [record.get("sampler") for record in records if record["phase"] == "joint"]
    assert joint[:2] == [None, None], "before the first epoch, and in it"
    assert all(facts["filled"] > 0 for facts in joint[2:])
    assert [facts["threshold"] for facts in joint[2:]] == sorted(facts["threshold"] for facts in joint[2:])
    assert ["outliers" in facts for facts in joint[2:]] == [False, False, True]
    json.dumps(records, allow_nan=False)


def test_earlier_phases_are_taken_over(split, tmp_path) -> None:
    fit("twotower", split, out=tmp_path / "uniform", **arguments("uniform"))
    alone = fit("twotower", split, **arguments("realhns"))
    started = fit("twotower", split, start=tmp_path / "uniform", **arguments("realhns"))
    assert started.info["taken_over"] == ["alone:games", "alone:toys"]
    assert same(alone, started)


@pytest.mark.parametrize(
    "off", ["coarse", "filter_items", "fine", "cross", "filter_users", "gradual", "gradual_filter"]
)
def test_a_run_without_a_part(off, split) -> None:
    records: list[Any] = []
    settings = {**SETTINGS["realhns"], "step": 10, off: False}
    fit("twotower", split, log=records.append, **arguments("realhns", epochs=2, sampler_settings=settings))
    assert all(torch.isfinite(torch.tensor(record["loss"])) for record in records if "loss" in record)
    assert records[-1]["sampler"]["filled"] > 0
    json.dumps(records, allow_nan=False)


@pytest.mark.parametrize("model", ["dasl", "sasrec", "gru4rec", "cl4srec", "bprmf"])
def test_other_models(model, split) -> None:
    given = arguments("realhns", epochs=2, model_settings={"dim": 8})
    records: list[Any] = []
    fit(model, split, log=records.append, **given)
    assert records[-1]["sampler"]["filled"] > 0


def test_two_sources(three) -> None:
    records: list[Any] = []
    settings = {**SETTINGS["realhns"], "step": 10}
    fit("twotower", three, log=records.append, **arguments("realhns", epochs=2, sampler_settings=settings))
    assert 0 < records[-1]["sampler"]["outliers"] < 0.6
