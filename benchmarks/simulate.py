"""Seconds and events per second of simulating a world of two domains (goal: 10^6 events in under 20 s on one core).

    python benchmarks/simulate.py [--events 1000000] [--repeats 3]

Drawing and writing are timed apart; CPU-seconds are the figure to trust on a machine that others use. Peak memory is
the process's own, code and libraries included. Exits with 1 where the goal is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy is loaded

from crossrec.data.simulate import simulate
from crossrec.data.worlds import World

GOAL = 50_000
"""Events per second: 10^6 in 20 s."""


def main() -> None:
    """Draw and write the same world a few times; print each, and the best of all against the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    world = World(users=max(asked.events // 20, 2), events=10.0, overlap=1.0)
    print(f"{'':<8}{'events':>12}{'wall s':>9}{'CPU s':>9}{'events/s':>12}{'write s':>9}")
    rates = []
    for turn in range(asked.repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        made = simulate(world)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        events = sum(table.num_rows for table in made.tables.values())
        rates.append(events / wall)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            made.write(Path(folder) / "world")
            written = time.perf_counter() - began
        print(f"run {turn + 1:<4}{events:>12,}{wall:>9.2f}{cpu:>9.2f}{rates[-1]:>12,.0f}{written:>9.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform != "darwin" else 2**30)
    missed = max(rates) < GOAL
    print(f"best {max(rates):,.0f} events/s (goal {GOAL:,}{', MISSED' if missed else ''}), peak memory {peak:.2f} GiB")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
