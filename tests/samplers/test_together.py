"""Two processes under torchrun, each with real hard negatives of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file


def test_two_processes_train_together(tmp_path) -> None:
    """It ends, the loss is a number, hard negatives are found, and both have the same weights."""
    program = Path(__file__).parent / "shared_realhns.py"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [sys.executable, *launcher, str(program), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    joint = [record for record in records if record["phase"] == "joint" and "loss" in record]
    assert len(joint) == 2
    assert all(math.isfinite(record["loss"]) and record["sampler"]["filled"] > 0 for record in joint)
    one, other = (load_file(tmp_path / f"process-{number}.safetensors") for number in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
