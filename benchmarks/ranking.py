"""Claim: full ranking is bound by the matrix product. Ranks of many users among all items, against the product alone.

    python benchmarks/ranking.py [--users 8192] [--items 37868 100000] [--dim 64]

Prints users per second and the share of the machine's matrix-product rate (goal: half). The two are timed in turn in one
process and compared by the medians of their pairs; the product is torch's own, in one call over the same vectors, into
memory that is there already.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from crossrec.evaluation.ranks import rank_product


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(num_users: int, num_items: int, dim: int, rounds: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query_PD = torch.randn(num_users, dim, generator=generator)
    item_VD = torch.randn(num_items, dim, generator=generator)
    place_P = torch.randint(num_items, (num_users,), generator=generator)
    rows = 1024
    scores = torch.empty(rows, num_items)

    def product() -> None:
        for query in query_PD.split(rows):
            torch.mm(query, item_VD.T, out=scores)

    def ranking() -> None:
        rank_product(query_PD, item_VD, place_P)

    product(), ranking()
    pairs = [(seconds(product), seconds(ranking)) for _ in range(rounds)]
    share = statistics.median(a / b for a, b in pairs)
    took = statistics.median(b for _, b in pairs)
    flops = 2 * num_users * num_items * dim / statistics.median(a for a, _ in pairs)
    print(
        f"{num_users} users x {num_items} items, dim {dim}, {torch.get_num_threads()} threads: "
        f"{num_users / took:,.0f} users/s, {share:.0%} of the matrix-product rate ({flops / 1e9:.0f} GFLOP/s); goal 50%"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=8192)
    parser.add_argument("--items", type=int, nargs="+", default=[37_868, 100_000])
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    settings = parser.parse_args()
    for num_items in settings.items:
        measure(settings.users, num_items, settings.dim, settings.rounds)


if __name__ == "__main__":
    main()
