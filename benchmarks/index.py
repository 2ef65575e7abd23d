"""Claim: below 10^6 items the exact index is quick enough; above, faiss keeps the recall and is many times quicker.

    OMP_NUM_THREADS=1 python benchmarks/index.py [--items 37868 1000000] [--dim 64]

Builds both indexes over vectors in clusters, with norms that differ as popularity does, and asks both with queries of the same
kind. Prints seconds and memory of the build, recall of the best 100, and milliseconds of CPU per query: one at a time, 32
together, and one at a time where a tenth of the items, or 100 of them, are available; 300 items are asked for.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crossrec.retrieve.index import Exact, Index, make_index, recall

K = 300


def vectors(rng: np.random.Generator, count: int, centre_CD: np.ndarray) -> np.ndarray:
    """Around random centres, with norms from about 0.5 to 2."""
    found = centre_CD[rng.integers(len(centre_CD), size=count)]
    found += 0.7 * rng.standard_normal(found.shape, dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    found *= np.exp(0.3 * rng.standard_normal((count, 1), dtype=np.float32))
    return found


def memory() -> float:
    """Of this process, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def cost(work: Callable[[int], object], rounds: int = 15) -> float:
    """Milliseconds of CPU, median."""
    took = []
    for n in range(rounds):
        began = time.process_time()
        work(n)
        took.append(time.process_time() - began)
    return 1000 * statistics.median(took)


def measure(items: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    centre_CD = rng.standard_normal((1000, dim), dtype=np.float32)
    item_VD, query_QD = vectors(rng, items, centre_CD), vectors(rng, 256, centre_CD)
    tenth_V, hundred_V = rng.random(items) < 0.1, np.zeros(items, dtype=bool)
    hundred_V[rng.permutation(items)[:100]] = True
    exact = Exact(item_VD, version="v")
    for kind in ("exact", "faiss"):
        before, began, cpu = memory(), time.perf_counter(), time.process_time()
        index: Index = make_index(item_VD, version="v", kind=kind, sample_QD=query_QD[:128])
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        grown = memory() - before

        def one(n: int, allowed_V: np.ndarray | None = None, index: Index = index) -> object:
            return index.search(query_QD[n : n + 1], K, allowed_V, version="v")

        together = cost(lambda n, index=index: index.search(query_QD[32 * (n % 8) :][:32], K, version="v"), 8) / 32
        print(
            f"{items:>9,} items x {dim}, {kind}: built in {cpu:.1f} CPU-s ({wall:.1f} s), {grown:,.0f} MiB beside the "
            f"vectors; recall@100 {recall(index, exact, query_QD[128:], 100):.3f}; ms per query: {cost(one):.2f} alone, "
            f"{together:.2f} of 32, {cost(lambda n, one=one: one(n, tenth_V)):.2f} with a tenth available, "
            f"{cost(lambda n, one=one: one(n, hundred_V)):.2f} with 100"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[37_868, 1_000_000])
    parser.add_argument("--dim", type=int, default=64)
    settings = parser.parse_args()
    for items in settings.items:
        measure(items, settings.dim)


if __name__ == "__main__":
    main()
