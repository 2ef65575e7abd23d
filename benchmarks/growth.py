"""Claim: an epoch of DIAGAE takes time in proportion to the interactions, and so does its memory.

    python benchmarks/growth.py [--interactions 100000 1000000 10000000] [--width 16]

Each size is a simulated world of its own (users of ten ratings in each of two domains, items a tenth of the users) in a
process of its own: a source is trained for one epoch, then source and target together for one. Prints CPU-seconds of the two
epochs, CPU-microseconds per interaction of both domains, and how far the process's peak of memory rose above what the logs and
the split took. CPU-seconds are the figure to trust on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PER_USER, DOMAINS, ITEMS_PER_USER = 10, 2, 0.1
GOAL = 1.5
"""Cost per interaction of the largest world over that of the smallest."""


def peak() -> float:
    """The largest memory that this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(interactions: int, width: int) -> dict[str, float]:
    """Two epochs in this process."""
    import crossrec as cr
    from crossrec.train.fit import fit

    users = interactions // (PER_USER * DOMAINS)
    with tempfile.TemporaryDirectory() as place:
        world = Path(place) / "world"
        size = ("--users", users, "--items", int(users * ITEMS_PER_USER), "--events", PER_USER, "--overlap", 1)
        command = [sys.executable, "-m", "crossrec", "simulate", "--domains", "toys,games", "--opinions", 1, *size]
        subprocess.run([*map(str, command), "--out", str(world)], check=True, stdout=subprocess.DEVNULL)
        data = cr.Dataset.from_folder(world)
    split = cr.Ratio("toys").apply(data)
    before, records = peak(), []
    once = {"epochs": 1, "task": "ratings", "protocol": "ratings", "metric": "mae"}
    model = {"dim": width, "hidden": (width, width // 2), "pretrain_epochs": 1}
    fit("diagae", split, preset="paper", model_settings=model, log=records.append, seed=1, **once)
    source, joint = [each["cpu_seconds"] for each in records if each["epoch"]]
    return {"interactions": len(data.item_E), "source": source, "joint": joint, "memory": peak() - before}


def main() -> None:
    """Measure; exit with 1 where an interaction costs much more in the largest world than in the smallest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one, asked.width)))
        return
    print(f"load of the machine {os.getloadavg()[0]:.1f}")
    print(f"{'interactions':>14}{'source CPU-s':>14}{'joint CPU-s':>14}{'us each':>10}{'MiB':>8}")
    each: list[float] = []
    for interactions in asked.interactions:
        command = [sys.executable, __file__, "--one", str(interactions), "--width", str(asked.width)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        found: dict[str, Any] = json.loads(told)
        each.append((found["source"] + found["joint"]) / found["interactions"] * 1e6)
        cells = f"{found['source']:>14.1f}{found['joint']:>14.1f}{each[-1]:>10.1f}{found['memory']:>8.0f}"
        print(f"{found['interactions']:>14,}{cells}", flush=True)
    ratio = each[-1] / each[0]
    print(f"an interaction costs {ratio:.2f} times as much in the largest as in the smallest (goal: at most {GOAL})")
    sys.exit(ratio > GOAL)


if __name__ == "__main__":
    main()
