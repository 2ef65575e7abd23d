"""prepare, train, evaluate and recommend need none of the packages that are not required."""

from __future__ import annotations

import json
import subprocess
import sys

BLOCKED = """
import sys
from importlib.machinery import PathFinder

ABSENT = ("polars", "pandas", "matplotlib", "tensorboard", "IPython")

class Bare:
    '''Finds what a bare machine has: the packages that are not required are not there.'''

    find_distributions = PathFinder.find_distributions
    invalidate_caches = PathFinder.invalidate_caches

    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in ABSENT else PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
for name in ABSENT:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} is there all the same")
from crossrec.cli import main

for words in (line.split("|") for line in sys.argv[1:]):
    try:
        main(words)
    except SystemExit as left:
        if left.code:
            sys.exit(f"{words}: {left.code}")
"""


def test_the_main_job_without_optional_packages(logs, tmp_path):
    out, run, found = tmp_path / "prepared", tmp_path / "run", tmp_path / "found.jsonl"
    history = tmp_path / "history.jsonl"
    history.write_text('{"games": ["games-00003"]}\n')
    tiny = "--set|dim=8|--set|epochs=1|--set|blocks=1|--set|negatives=8"
    lines = (
        f"prepare|{logs}|--out|{out}|--user-core|3",
        f"train|{out}|--target|toys|--model|sasrec|{tiny}|--out|{run}",
        f"evaluate|{run}|--protocol|full|--protocol|sampled:20",
        f"recommend|{run}|--domain|toys|--history|{history}|-k|3|--out|{found}",
    )
    done = subprocess.run([sys.executable, "-c", BLOCKED, *lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in found.read_text().splitlines()]
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert all(row["item"].startswith("toys-") for row in rows)
