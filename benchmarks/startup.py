"""Seconds until crossrec is there: ``import crossrec`` (goal 0.3 s) and ``crossrec --help`` (goal 0.5 s), in fresh processes.

    python benchmarks/startup.py [--runs 15]

Beside them stands a bare ``python -c pass``, which no program can be quicker than.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

CLAIMS: tuple[tuple[str, list[str], float | None], ...] = (
    ("python -c pass", ["-c", "pass"], None),
    ("import crossrec", ["-c", "import crossrec"], 0.3),
    ("crossrec --help", ["-m", "crossrec", "--help"], 0.5),
)


def seconds(arguments: list[str]) -> float:
    """Wall time of one fresh process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Measure in turn, so that a busy moment falls on all alike; exit with 1 where a median misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name, _, _ in CLAIMS}
    for number in range(runs + 1):
        for name, arguments, _ in CLAIMS:
            taken = seconds(arguments)
            if number:  # the first round fills the file cache
                times[name].append(taken)
    print(f"seconds in a fresh process, {runs} runs\n{'':<16}    min  median    goal")
    missed = False
    for name, _, goal in CLAIMS:
        median = statistics.median(times[name])
        missed |= goal is not None and median > goal
        told = "" if goal is None else f"{goal:>8.2f}{'  MISSED' if median > goal else ''}"
        print(f"{name:<16} {min(times[name]):>6.3f} {median:>7.3f}{told}")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
