"""Checkpoints: whole or not there, and without pickle."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from crossrec.recommender import Recommender
from crossrec.train.checkpoint import FOLDER, Checkpoint, load_optimizer, optimizer_tensors
from crossrec.train.fit import fit


def one(value: float) -> Checkpoint:
    return Checkpoint({"model": {"weight": torch.full((2,), value)}, "sampler": {}}, {"records": int(value)})


def value(run: Path) -> float | None:
    found = Checkpoint.load(run)
    if found is None:
        return None
    assert found.groups["sampler"] == {}
    assert found.groups["model"]["weight"].tolist() == [found.numbers["records"]] * 2
    return float(found.numbers["records"])


def test_the_newest_whole_checkpoint_is_found(tmp_path):
    assert value(tmp_path) is None
    one(1).save(tmp_path)
    one(2).save(tmp_path)
    assert value(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_leftovers_of_a_kill_do_not_count(tmp_path):
    one(1).save(tmp_path)
    (tmp_path / FOLDER).rename(tmp_path / f"{FOLDER}.old")
    (tmp_path / f"{FOLDER}.new").mkdir()
    (tmp_path / f"{FOLDER}.new" / "model.safetensors").write_bytes(b"half")
    assert value(tmp_path) == 1
    one(3).save(tmp_path)
    assert value(tmp_path) == 3
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def test_a_tensor_that_is_a_view_is_saved_as_it_looks(tmp_path):
    whole = torch.arange(6.0).view(2, 3)
    Checkpoint({"model": {"column": whole[:, 1], "turned": whole.T}}, {}).save(tmp_path)
    groups = Checkpoint.load(tmp_path).groups
    assert groups["model"]["column"].tolist() == [1, 4]
    assert torch.equal(groups["model"]["turned"], whole.T)


def test_an_optimizer_goes_on_exactly():
    def step(weight: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        weight.grad = weight.detach() ** 2 + 1
        optimizer.step()

    first = torch.nn.Parameter(torch.arange(4.0))
    optimizer = torch.optim.AdamW([first], 0.1, fused=True)
    step(first, optimizer)
    second = torch.nn.Parameter(first.detach().clone())
    other = torch.optim.AdamW([second], 0.5, fused=True)
    load_optimizer(other, {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}, 0.1)
    step(first, optimizer)
    step(second, other)
    assert torch.equal(first, second)
    assert other.param_groups[0]["lr"] == 0.1


def test_a_run_is_written_resumed_and_loaded_without_pickle(split, tiny, request, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    run = request.getfixturevalue("stopped")
    files = sorted(path for path in (run / FOLDER).rglob("*") if path.is_file())
    assert [path.name for path in files] == [
        *(f"{name}.safetensors" for name in ("best", "model")),
        "numbers.json",
        *(f"{name}.safetensors" for name in ("optimizer", "sampler", "streams")),
    ]
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            with safe_open(path, "pt") as opened:
                list(opened.keys())
    fit("sasrec", split, out=run, resume=True, **tiny)
    Recommender.load(run)


@pytest.mark.parametrize("seconds, expected", [(0.0, 4), (1e9, 1)])
def test_checkpoints_are_as_far_apart_as_asked_and_one_ends_a_phase(
    split, tiny, tmp_path, monkeypatch, seconds, expected
):
    saved = []
    save = Checkpoint.save
    monkeypatch.setattr(Checkpoint, "save", lambda self, run: (saved.append(self.numbers["records"]), save(self, run)))
    fit("sasrec", split, out=tmp_path / "run", **{**tiny, "checkpoint_seconds": seconds})
    assert saved == list(range(5 - expected, 5))
