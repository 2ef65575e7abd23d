"""Flags that change how a step is computed and not what it learns; and the extra that writes for TensorBoard."""

from __future__ import annotations

import shutil
import sys
import types

import pytest
import torch

from crossrec.errors import InputError
from crossrec.train.fit import fit


def losses(split, arguments, **settings):
    found = []
    fit("sasrec", split, log=lambda record: found.append(record["loss"]), **{**arguments, **settings})
    return found


def test_autocast_gives_a_close_loss(split, tiny):
    plain, cast = losses(split, tiny), losses(split, tiny, autocast=True)
    assert cast == pytest.approx(plain, rel=0.02)
    assert cast != plain


def test_clip_bounds_the_step(split, tiny):
    plain, clipped = losses(split, tiny), losses(split, tiny, clip=1e-6)
    assert clipped[0] == pytest.approx(plain[0], rel=0.05)
    assert clipped != plain


def test_tensorboard_gets_every_epoch(split, tiny, tmp_path, monkeypatch):
    written = {}

    class Writer:
        def __init__(self, folder):
            assert folder == str(tmp_path / "run" / "tensorboard")

        def add_scalar(self, name, value, step):
            written[name, step] = value

        def flush(self):
            pass

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    expected = []
    fit("sasrec", split, out=tmp_path / "run", tensorboard=True, log=expected.append, **tiny)
    for record in expected:
        assert written["train/loss", record["epoch"]] == record["loss"]
        assert written["train/valid/ndcg@10", record["epoch"]] == record["valid"]["ndcg@10"]
    assert len(expected) == 4


def test_tensorboard_for_real(split, tiny, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit("sasrec", split, out=tmp_path / "run", tensorboard=True, **tiny)
    fit("sasrec", split, out=tmp_path / "run", tensorboard=True, resume=True, **tiny)
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]


def test_tensorboard_that_is_not_there_or_has_no_place(split, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'crossrec\[tensorboard\]'"):
        fit("sasrec", split, out=tmp_path / "run", tensorboard=True, **tiny)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="tensorboard needs out"):
        fit("sasrec", split, tensorboard=True, **tiny)


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="torch.compile needs a C++ compiler")
def test_compile_gives_the_same_loss(split, tiny):
    """Batches of many shapes. torch's own switch keeps its compiler, which is slow, to the first graphs of many."""
    counters = torch._dynamo.utils.counters
    counters.clear()
    torch.compiler.reset()
    with torch._dynamo.config.patch(debug_backend_override=">=6:eager"):
        compiled = losses(split, tiny, compile=True)
    assert compiled == pytest.approx(losses(split, tiny), rel=1e-4)
    assert counters["stats"]["unique_graphs"] > 2
    assert counters["aot_autograd"]["ok"] > 0
