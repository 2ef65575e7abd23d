"""A program for several processes under torchrun: a run with real hard negatives, and each process's weights.

python -m torch.distributed.run --nproc-per-node 2 shared_realhns.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from crossrec.data.splits import LeaveLastOut
from crossrec.testing.worlds import tiny_world
from crossrec.train import distributed
from crossrec.train.fit import fit


def main() -> None:
    folder = Path(sys.argv[1])
    split = LeaveLastOut("toys").apply(tiny_world())
    hard = {"start": 0, "every": 1, "step": 10, "item_clusters": 5, "user_clusters": 3, "outliers": 0.5}
    small = {"dim": 8, "blocks": 1, "source_epochs": 1}
    arguments = {"seed": 3, "epochs": 2, "negatives": 16, "batch": 7, "model_settings": small}
    found = fit("twotower", split, out=folder / "run", sampler="realhns", sampler_settings=hard, **arguments)
    assert distributed.world() == 2
    save_file(found.model.state_dict(), folder / f"process-{distributed.rank()}.safetensors")


if __name__ == "__main__":
    main()
