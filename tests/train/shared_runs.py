"""A program for several processes under torchrun: a run as it is, and one that is stopped in an epoch and resumed.

python -m torch.distributed.run --nproc-per-node 2 shared_runs.py FOLDER ARGUMENTS      ARGUMENTS: of `fit`, as JSON
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from crossrec.data.splits import LeaveLastOut
from crossrec.testing.worlds import tiny_world
from crossrec.train import distributed
from crossrec.train.fit import fit
from crossrec.train.loop import Trainer


class Stopped(Exception):
    """Stands for whatever ends a run."""


def main() -> None:
    folder, arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
    split = LeaveLastOut("toys").apply(tiny_world())
    model = fit("sasrec", split, out=folder / "whole", **arguments).model
    assert distributed.world() == 2
    save_file(model.state_dict(), folder / f"process-{distributed.rank()}.safetensors")

    step, calls = Trainer._step, 0

    def stopping(self: Trainer, *given: Any) -> tuple[float, int]:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise Stopped
        return step(self, *given)

    Trainer._step = stopping  # type: ignore[method-assign]  # the moment of the stop, the same in all processes
    try:
        fit("sasrec", split, out=folder / "resumed", **arguments)
    except Stopped:
        Trainer._step = step  # type: ignore[method-assign]  # as it was
    if distributed.rank() == 0:
        shutil.copytree(folder / "resumed", folder / "stopped")
    distributed.wait()
    fit("sasrec", split, out=folder / "resumed", resume=True, **arguments)


if __name__ == "__main__":
    main()
