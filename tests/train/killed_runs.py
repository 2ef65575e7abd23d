"""A program: for every moment it starts a tiny run that is killed (SIGKILL) right then; prints how each ended.

    python killed_runs.py FOLDER ARGUMENTS      ARGUMENTS: those of `fit`, as JSON

Every run is a forked child, so that torch is imported once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from crossrec.data.splits import LeaveLastOut
from crossrec.recommender import Recommender
from crossrec.testing.worlds import tiny_world
from crossrec.train import checkpoint
from crossrec.train.fit import fit
from crossrec.train.loop import Trainer


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(number: int, work: Callable[..., Any], instead: Callable[..., Any] = die) -> Callable[..., Any]:
    """The same work, but something else at its call of this number."""
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return (instead if calls == number else work)(*arguments, **named)

    return wrapped


def half_a_file(_: Any, path: Path) -> None:
    Path(path).write_bytes(b"\x10\x00\x00")
    die()


def in_the_middle_of_an_epoch() -> None:
    """The third epoch, its second of three batches."""
    Trainer._step = at_call(8, Trainer._step)  # type: ignore[method-assign]  # the moment of the kill


def while_a_checkpoint_is_written() -> None:
    """The third file of the second checkpoint."""
    checkpoint.save_file = at_call(8, checkpoint.save_file, half_a_file)


def between_the_renames_of_a_checkpoint() -> None:
    """The second checkpoint: the old one is out of the way, the new one not yet in its place."""
    rename = Path.rename
    fresh = at_call(2, rename)

    def watched(self: Path, target: Path) -> Path:
        return (fresh if self.name == "checkpoint.new" else rename)(self, target)

    Path.rename = watched  # type: ignore[method-assign]  # as above


def after_the_metrics_before_the_checkpoint() -> None:
    """The second epoch has its line, and its checkpoint is not begun."""
    Trainer._save = at_call(2, Trainer._save)  # type: ignore[method-assign]  # as above


def before_the_first_checkpoint() -> None:
    """Nothing but the config is there."""
    Trainer._step = at_call(2, Trainer._step)  # type: ignore[method-assign]  # as above


def when_all_is_trained() -> None:
    """Before the weights are written."""
    Recommender.save = die  # type: ignore[method-assign,assignment]  # as above


MOMENTS = (
    in_the_middle_of_an_epoch,
    while_a_checkpoint_is_written,
    between_the_renames_of_a_checkpoint,
    after_the_metrics_before_the_checkpoint,
    before_the_first_checkpoint,
    when_all_is_trained,
)


def main() -> None:
    folder, arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # imports what the first optimiser imports, once for all
    ends = {}
    for moment in MOMENTS:
        child = os.fork()
        if not child:
            moment()
            fit("sasrec", LeaveLastOut("toys").apply(tiny_world()), out=folder / moment.__name__, **arguments)
            os._exit(0)
        ends[moment.__name__] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main()
