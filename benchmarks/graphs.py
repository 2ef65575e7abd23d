"""Graph propagation against scattering messages, and drawing neighbours from a graph of 10^8 edges.

Goals: a propagation, forward and backward, twice as quick as by scatter; a graph of 10^8 edges with times, both ways, in
less than 3 GiB; 25 neighbours of 1,024 users in 15 ms.

Propagation is run on the graph of the logs' training rows and on one of --edges random pairs (twice as many non-zeros), in
turn with its rivals from the same weights: gathered messages added up by ``index_add``, and torch's own sparse product. Values
and gradients are compared first. Memory is the growth of the process's peak during one step, in a fresh process for each.

The large graph is simulated straight into mapped files in chunks (degrees log-normal, items by popularity, times ascending; an
item may come twice in a row), and turned round by the library. Peak memory is that of the fresh process which did that, mapped
pages among it. Another fresh process maps the files and draws. CPU-seconds are the figure to trust on a machine that others
use; the least of several draws is told as well as their median.

    python benchmarks/graphs.py [--data ../shared/data/amazon-toy-game] [--edges 5000000] [--large 100000000] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

import crossrec as cr
from crossrec.data.graphs import DTYPES, Adjacency, adjacency, build, transposed
from crossrec.data.neighbours import Neighbours
from crossrec.nn.items import ItemTable
from crossrec.nn.propagation import Propagation, bipartite, normalised

CHUNK = 1 << 22
"""Edges simulated at a time."""
PER_USER, PER_ITEM = 100, 1000
"""Mean degrees of the large graph."""
DIM = 64
QUERIES, FAN_OUT = 1024, 25


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def peak() -> int:
    """The largest memory that this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def logs_matrix(folder: Path) -> sparse.csr_array:
    """The normalised matrix of the training rows of all domains."""
    split = cr.LeaveLastOut("toys").apply(cr.Dataset.from_folder(folder))
    table = ItemTable(split.data.catalogue, split.data.domains, 1)
    return normalised(bipartite(build(split).users, table.row_V, len(table.weight)))


def random_matrix(edges: int) -> sparse.csr_array:
    """The normalised matrix of a random graph: users of 50 edges, items by popularity; pairs that repeat are one edge."""
    draw = np.random.default_rng(0)
    users, items = edges // 50, 100_000
    item_E = (items * draw.random(edges, dtype=np.float32) ** 2).astype(np.int32)
    offset_U1 = np.arange(0, edges + 1, edges // users)[: users + 1]
    matrix = sparse.csr_array((np.ones(edges, np.float32), item_E, offset_U1), shape=(users, items))
    matrix.sum_duplicates()
    side = Adjacency(items, matrix.indptr.astype(np.int64), matrix.indices)
    return normalised(bipartite(side, np.arange(1, items + 1), items + 1))


class Rivals:
    """Ways to multiply a matrix by the vectors of its nodes."""

    def __init__(self, matrix: sparse.csr_array) -> None:
        self.propagation = Propagation(len(matrix.indptr) - 1)
        self.propagation.fill(matrix)
        self.x_ND = torch.randn(matrix.shape[0], DIM, requires_grad=True)
        self.gradient_ND = torch.randn(matrix.shape[0], DIM)
        inside = self.propagation.operator().matrix
        self.row_E = torch.repeat_interleave(torch.arange(matrix.shape[0]), inside.offset_N1.diff().long())
        self.column_E, self.weight_E = inside.column_E.long(), inside.weight_E

    def ours(self) -> Tensor:
        return self.propagation(self.x_ND)

    def scatter(self) -> Tensor:
        message_ED = self.x_ND[self.column_E] * self.weight_E[:, None]
        return torch.zeros_like(self.x_ND).index_add(0, self.row_E, message_ED)

    def sparse(self) -> Tensor:
        return torch.sparse.mm(self.propagation.operator().matrix.tensor(), self.x_ND)

    def step(self, product: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Forward and backward: the gradient."""
        return lambda: torch.autograd.grad(product(), self.x_ND, self.gradient_ND)[0]


def propagation(name: str, matrix: sparse.csr_array, rounds: int) -> None:
    rivals = Rivals(matrix)
    gaps = []
    for one, other in ((rivals.ours, rivals.scatter), (rivals.step(rivals.ours), rivals.step(rivals.scatter))):
        gaps.append(float((one() - other()).detach().abs().max()))
    print(
        f"{name}: {matrix.shape[0]:,} nodes, {matrix.nnz:,} non-zeros, width {DIM}, {torch.get_num_threads()} threads"
    )
    print(f"  largest difference to scatter: values {gaps[0]:.1e}, gradients {gaps[1]:.1e}")
    for what, wrap in (("forward", lambda f: f), ("forward and backward", rivals.step)):
        ours, scatter, mine = (
            statistics.median(cpu_seconds(wrap(way)) for _ in range(rounds))
            for way in (rivals.ours, rivals.scatter, rivals.sparse)
        )
        goal = " (goal 2x)" if what != "forward" else ""
        print(
            f"  {what}: {ours:.4f} CPU-s, scatter {scatter:.4f}: {scatter / ours:.1f}x{goal}; "
            f"torch's sparse product {mine:.4f}: {mine / ours:.1f}x"
        )


def memory(edges: int, way: str) -> int:
    """Bytes by which one step raises the peak of this process above what making the matrix took."""
    rivals = Rivals(random_matrix(edges))
    rivals.propagation.operator()
    _ballast = np.ones(max(0, peak() - _held()) // 8)  # memory that was given back would hide the growth
    before = peak()
    rivals.step(getattr(rivals, way))()
    return peak() - before


def _held() -> int:
    """Memory that this process holds now, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def mapped(folder: Path, side: str) -> Callable[[str, int], Any]:
    """Makes arrays that live in files."""
    return lambda name, length: np.lib.format.open_memmap(folder / f"{side}-{name}.npy", "w+", DTYPES[name], (length,))


def simulate(folder: Path, edges: int) -> dict[str, float]:
    """A graph of about so many edges in mapped files, both ways: seconds and peak bytes of this process."""
    draw = np.random.default_rng(0)
    users, items = edges // PER_USER, edges // PER_ITEM
    degree_U = np.minimum(draw.lognormal(-0.5, 1.0, users) * PER_USER, items // 2).astype(np.int64)
    offset_U1 = np.concatenate([[0], np.cumsum(degree_U)])
    began = time.process_time()
    make = mapped(folder, "users")
    column_E, time_E = (make(name, int(offset_U1[-1])) for name in ("column", "time"))
    for first in range(0, len(column_E), CHUNK):
        part = slice(first, min(first + CHUNK, len(column_E)))
        place_M = np.arange(part.start, part.stop)
        user_M = np.searchsorted(offset_U1, place_M, side="right") - 1
        within_M = place_M - offset_U1[user_M]
        stride_M = 1 + 2 * (user_M % 97)
        column_M = (user_M * 7919 + within_M * stride_M) % items
        column_E[part] = (items * (column_M / items) ** 2).astype(np.int32)
        time_E[part] = 1_500_000_000 + 1000 * within_M + user_M % 1000
    np.save(folder / "users-offset.npy", offset_U1)
    simulated = time.process_time()
    users_side = adjacency(items, {"offset": offset_U1, "column": column_E, "time": time_E})
    items_side = transposed(users_side, mapped(folder, "items"))
    np.save(folder / "items-offset.npy", items_side.offset_N1)
    turned = time.process_time() - simulated
    return {"edges": len(column_E), "simulate": simulated - began, "turn": turned, "peak": peak()}


def draw(folder: Path) -> dict[str, Any]:
    """Milliseconds of drawing from the mapped graph, and peak bytes of this process."""
    took: dict[str, Any] = {}
    for side in ("users", "items"):
        names = ("offset", "column", "time")
        arrays = {name: np.load(folder / f"{side}-{name}.npy", mmap_mode="c") for name in names}
        neighbours = Neighbours(adjacency(0, arrays), arrays["time"])
        generator = torch.Generator().manual_seed(0)
        before = int(np.median(arrays["time"][:: len(arrays["time"]) // 1000]))
        degree_N = torch.as_tensor(np.diff(arrays["offset"]))
        for what, given in (
            ("uniform", {}),
            ("uniform before a time", {"before": before}),
            ("recent", {"how": "recent"}),
            ("top", {"how": "top"}),
            ("weighted", {"how": "weighted"}),
        ):
            figures = []
            for _ in range(40 if side == "users" else 10):
                row_B = torch.randint(len(degree_N), (QUERIES,), generator=generator)
                began, spent = time.perf_counter(), time.process_time()
                found = neighbours.sample(row_B, FAN_OUT, generator=generator, **given)
                figures.append((time.perf_counter() - began, time.process_time() - spent, int(found.mask_BK.sum())))
            wall, cpu, drawn = zip(*figures[3:], strict=True)
            took[f"{side}, {what}"] = {
                "wall": statistics.median(wall) * 1e3,
                "least": min(wall) * 1e3,
                "cpu": statistics.median(cpu) * 1e3,
                "per_second": statistics.mean(drawn) / statistics.median(cpu),
            }
    return {"took": took, "peak": peak()}


def fresh(*given: object) -> Any:
    """What this file prints, run anew with these arguments."""
    command = [sys.executable, __file__, *map(str, given)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def large(edges: int, folder: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = fresh("--simulate", place, "--large", edges)
        print(
            f"{made['edges']:,} edges with times, both ways: simulated in {made['simulate']:.0f} CPU-s, "
            f"turned round in {made['turn']:.0f}; peak {made['peak'] / 2**30:.2f} GiB (goal 3)"
        )
        drawn = fresh("--draw", place)
        print(f"  {FAN_OUT} neighbours of {QUERIES} rows (goal: uniform of users in 15 ms)")
        for name, ms in drawn["took"].items():
            print(
                f"  {name}: {ms['wall']:.1f} ms (least {ms['least']:.1f}, {ms['cpu']:.1f} of CPU), "
                f"{ms['per_second'] / 1e6:.1f} M neighbours per CPU-s"
            )
        print(f"  peak of the process that draws: {drawn['peak'] / 2**30:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "amazon-toy-game")
    parser.add_argument("--edges", type=int, default=5_000_000)
    parser.add_argument("--large", type=int, default=100_000_000)
    parser.add_argument("--out", type=Path, help="where the large graph is put for a while; needs 3 GB")
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.simulate or settings.draw or settings.memory:
        found = (
            simulate(settings.simulate, settings.large)
            if settings.simulate
            else draw(settings.draw)
            if settings.draw
            else memory(settings.edges, settings.memory)
        )
        print(json.dumps(found))
        return
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text file
    if settings.data.is_dir():
        propagation("training rows of the logs", logs_matrix(settings.data), 15)
    propagation("random graph", random_matrix(settings.edges), 2)
    grown = {way: fresh("--memory", way, "--edges", settings.edges) / 2**20 for way in ("ours", "scatter")}
    print(f"  memory of a step: {grown['ours']:,.0f} MiB, scatter {grown['scatter']:,.0f}")
    large(settings.large, settings.out)


if __name__ == "__main__":
    main()
