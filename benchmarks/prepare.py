"""Rows per second and peak memory of preparing logs, and whether time is linear in their size.

Goals: 10^6 rows/s, peak memory below 3 x the packed arrays, time per row at 10^7 rows within 20 % of that at 10^6.

Every size is simulated to Parquet first, which is not measured: two domains, text ids, items by Zipf's law, about 50
interactions per user, times and ratings. Reading and saving then run in a fresh process: seconds are those after the
imports, memory is the process's peak above what it held after them. What a log of 1,000 rows peaks at is shown too:
code loaded on first use, which weighs in the smaller size. CPU-seconds are the figure to trust on a machine that others
use; linearity is told by them. The usual writers give up coding a column by a dictionary once that is over 1 MB, which
200,000 users are: such a file takes longer to decode per row. --dictionary writes without that limit.

    python benchmarks/prepare.py [--rows 1000000 10000000] [--repeats 3] [--shuffled] [--dictionary] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHUNK = 1 << 20
"""Rows simulated at a time, and per row group: the default of the usual writers of Parquet."""
ITEMS = 50_000
PER_USER = 50
START, SECONDS = 1_300_000_000, 300_000_000


def simulate(folder: Path, rows: int, shuffled: bool, dictionary: bool) -> None:
    """Two Parquet logs of half the rows each, written in chunks; in time order unless shuffled."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = np.random.default_rng(rows)
    popularity = np.cumsum(1 / np.arange(1, ITEMS + 1))
    users = max(rows // PER_USER, 1)
    for name in ("left", "right"):
        writer = None
        for first in range(0, rows // 2, CHUNK):
            count = min(CHUNK, rows // 2 - first)
            at = draw.random(count) if shuffled else np.sort((first + count * draw.random(count)) / (rows // 2))
            user = draw.integers(users, size=count)
            item = np.searchsorted(popularity, draw.random(count) * popularity[-1])
            table = pa.table(
                {
                    "user_id": np.char.add("user", user.astype("U8")),
                    "item_id": np.char.add(f"{name}-", item.astype("U8")),
                    "timestamp": (START + at * SECONDS).astype(np.int64),
                    "rating": draw.integers(1, 6, size=count).astype(np.float32),
                }
            )
            path, limit = folder / f"{name}.parquet", 1 << (26 if dictionary else 20)
            writer = writer or pq.ParquetWriter(path, table.schema, dictionary_pagesize_limit=limit)
            writer.write_table(table)
        if writer:
            writer.close()


def measure(folder: Path, out: Path) -> dict[str, float]:
    """Reads and saves in this process: rows, seconds, bytes of the packed arrays, peak bytes above the imports'."""
    import resource
    import time

    from crossrec.data import prepared, read
    from crossrec.data.dataset import Dataset

    assert prepared
    assert read
    before = _resident()
    start, cpu = time.perf_counter(), time.process_time()
    data = Dataset.from_folder(folder)
    data.save(out)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    unit = 1 if sys.platform == "darwin" else 1024
    arrays = (data.offset_U1, data.item_E, data.time_E, data.rating_E)
    return {
        "rows": data.num_interactions,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "packed_bytes": sum(array.nbytes for array in arrays if array is not None),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before,
    }


def _resident() -> int:
    import os
    import resource

    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _child(*arguments: str) -> str:
    """Runs this file again. The parent stays small: a child's peak would otherwise begin at its parent's."""
    return subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True).stdout


def run(rows: int, repeats: int, options: list[str]) -> dict[str, Any]:
    """The medians over fresh processes for one size."""
    with tempfile.TemporaryDirectory(prefix="crossrec-prepare-") as place:
        logs = Path(place) / "logs"
        logs.mkdir()
        _child("--simulate", str(logs), "--rows", str(rows), *options)
        runs = [json.loads(_child("--measure", str(logs), f"{place}/prepared-{n}")) for n in range(repeats)]
    result: dict[str, Any] = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
    result["rows"] = runs[0]["rows"]
    result["rows_per_second"] = result["rows"] / result["seconds"]
    result["rows_per_cpu_second"] = result["rows"] / result["cpu_seconds"]
    result["peak_over_packed"] = result["peak_bytes"] / result["packed_bytes"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**6, 10**7])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shuffled", action="store_true", help="logs that are not in time order")
    parser.add_argument("--dictionary", action="store_true", help="logs whose ids are dictionary-coded at any size")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.simulate:
        simulate(given.simulate, given.rows[0], given.shuffled, given.dictionary)
    elif given.measure:
        print(json.dumps(measure(*given.measure)))
    else:
        options = [f"--{name}" for name in ("shuffled", "dictionary") if getattr(given, name)]
        floor = run(1000, 1, options)
        report([run(rows, given.repeats, options) for rows in given.rows], floor, given.json)


def report(results: list[dict[str, Any]], floor: dict[str, Any], as_json: bool) -> None:
    """Prints the figures, and the CPU time per row of every size over that of the first."""
    for result in results:
        result["time_per_row_over_first"] = results[0]["rows_per_cpu_second"] / result["rows_per_cpu_second"]
    if as_json:
        print(json.dumps({"sizes": results, "floor_bytes": floor["peak_bytes"]}))
        return
    print("       rows  seconds      rows/s  CPU-s  rows/CPU-s  packed MB  peak MB  peak/packed  time/row, first = 1")
    for r in results:
        print(
            f"{r['rows']:>11,} {r['seconds']:>8.2f} {r['rows_per_second']:>11,.0f} {r['cpu_seconds']:>6.2f} "
            f"{r['rows_per_cpu_second']:>11,.0f} {r['packed_bytes'] / 1e6:>10.1f} {r['peak_bytes'] / 1e6:>8.1f} "
            f"{r['peak_over_packed']:>12.2f} {r['time_per_row_over_first']:>20.2f}"
        )
    print(f"a log of 1,000 rows peaks at {floor['peak_bytes'] / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
