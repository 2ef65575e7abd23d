"""Graph propagation: a constant sparse matrix times the vectors of nodes, and its gradient by the same kind of product.

N nodes, E edges of the matrix (both directions of a bipartite graph), D width.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from crossrec.data.graphs import Adjacency
from crossrec.errors import InputError
from crossrec.nn.saved_sizes import SavedSizes

Norm = Literal["symmetric", "row", "none"]


def bipartite(users: Adjacency, row_V: Any, rows: int, weight_E: Any = None) -> sparse.csr_array:
    """The square matrix of a graph: users are the nodes 0 to U - 1, then come the rows of a table of items.

    Args:
        users: The direction of the graph whose rows are users.
        row_V: Row of every global item id in the table, 0 for none (as :class:`~crossrec.nn.items.ItemTable` has it).
        rows: Rows of the table, the padding's among them: those that no edge names stay alone.
        weight_E: A weight for every edge; ones if None.
    """
    weight_E = np.ones(len(users.column_E), dtype=np.float32) if weight_E is None else np.asarray(weight_E)
    column_E = np.asarray(row_V)[users.column_E]
    if not column_E.all():
        raise InputError("The table has no rows for some items of the graph: build both of the same domains.")
    shape = len(users), rows
    matrix = sparse.csr_array((weight_E, column_E, users.offset_N1), shape=shape)
    other = matrix.T.tocsr()
    offset_N1 = np.concatenate([matrix.indptr, matrix.indptr[-1] + other.indptr[1:].astype(np.int64)])
    columns = np.concatenate([matrix.indices + np.int32(len(users)), other.indices])
    square = sparse.csr_array((np.concatenate([matrix.data, other.data]), columns, offset_N1), shape=(sum(shape),) * 2)
    square.sort_indices()
    return square


def normalised(matrix: sparse.csr_array, norm: Norm = "symmetric", loops: bool = False) -> sparse.csr_array:
    """A matrix divided by its row sums and, if ``symmetric``, by the root of row sum times column sum instead.

    ``loops``: every node is first joined to itself with weight 1. A node without an edge reads nothing.
    """
    if norm not in ("symmetric", "row", "none"):
        raise InputError(f"There is no normalisation {norm!r}. Give 'symmetric', 'row' or 'none'.")
    if loops:
        matrix = (matrix + sparse.eye_array(*matrix.shape, dtype=matrix.dtype, format="csr")).tocsr()
        matrix.sort_indices()
    if norm == "none":
        return matrix
    power = -0.5 if norm == "symmetric" else -1.0
    weight_E = matrix.data * np.repeat(_power(matrix.sum(1, dtype=np.float64), power), np.diff(matrix.indptr))
    if norm == "symmetric":
        weight_E *= _power(matrix.sum(0, dtype=np.float64), power)[matrix.indices]
    return sparse.csr_array((weight_E.astype(matrix.dtype), matrix.indices, matrix.indptr), shape=matrix.shape)


def _power(sum_N: Any, power: float) -> Any:
    """The power of positive sums, 0 for the others."""
    return np.power(sum_N, power, out=np.zeros_like(sum_N), where=sum_N > 0)


class Compressed:
    """A sparse matrix in compressed rows, to be multiplied."""

    def __init__(self, shape: tuple[int, int], offset_N1: Tensor, column_E: Tensor, weight_E: Tensor) -> None:
        self.shape = shape
        self.offset_N1, self.column_E, self.weight_E = offset_N1, column_E, weight_E
        self._tensor: Tensor | None = None

    def product(self, x_ND: Tensor) -> Tensor:
        """The product with vectors (columns, D), without a gradient: (rows, D).

        On the CPU in float32 it is a weighted sum of embeddings, several times quicker there than the sparse product, each
        row summed in the order of its columns.
        """
        x_ND = x_ND.detach()
        with torch.autocast(x_ND.device.type, enabled=False):
            if x_ND.device.type == "cpu" and x_ND.dtype == torch.float32:
                start_N = self.offset_N1[:-1]
                return F.embedding_bag(self.column_E, x_ND, start_N, mode="sum", per_sample_weights=self.weight_E)
            return self.tensor() @ x_ND

    def tensor(self) -> Tensor:
        """The matrix as a torch tensor in compressed rows."""
        if self._tensor is None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
                parts = self.offset_N1, self.column_E, self.weight_E
                self._tensor = torch.sparse_csr_tensor(*parts, self.shape, check_invariants=False)
        return self._tensor


class Operator:
    """A constant sparse matrix A: ``A @ x`` multiplies, and the backward pass multiplies by the transpose."""

    def __init__(self, matrix: Compressed, transposed: Compressed) -> None:
        """``transposed``: of a symmetric matrix the matrix itself."""
        self.matrix, self.transposed = matrix, transposed

    @property
    def T(self) -> Operator:
        """The transpose."""
        return Operator(self.transposed, self.matrix)

    def __matmul__(self, x_ND: Tensor) -> Tensor:
        """The product with vectors (columns, D): (rows, D), in the precision of the weights, under autocast too."""
        if len(x_ND) != self.matrix.shape[1]:
            raise InputError(f"A matrix of {self.matrix.shape[1]} columns is multiplied by {len(x_ND)} vectors.")
        x_ND = x_ND.to(self.matrix.weight_E.dtype)
        y: Tensor = _Product.apply(x_ND, self.matrix, self.transposed)  # type: ignore[no-untyped-call]  # torch has no types here
        return y


class _Product(torch.autograd.Function):
    """The product of a constant matrix and vectors; its gradient is the product of the transpose, and so on."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, matrix: Compressed, transposed: Compressed) -> Tensor:
        ctx.pair = transposed, matrix
        return matrix.product(x_ND)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(gradients[0], *ctx.pair), None, None  # type: ignore[no-untyped-call]  # as above


class Propagation(SavedSizes):
    """A sparse matrix that nodes read each other by. Part of a model's state.

    The transpose is made at the first product and kept; it is not part of the state.
    """

    counted = ("column_E", "weight_E")
    offset_N1: Tensor
    column_E: Tensor
    weight_E: Tensor

    def __init__(self, rows: int, columns: int | None = None) -> None:
        """Without an edge until it is filled. ``columns``: as many as rows if None."""
        super().__init__()
        self.shape = rows, rows if columns is None else columns
        self.register_buffer("offset_N1", torch.zeros(rows + 1, dtype=torch.int32))
        self.register_buffer("column_E", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("weight_E", torch.zeros(0))
        self._operator: Operator | None = None
        self._transpose: tuple[Tensor, Tensor, Tensor] | None = None

    def fill(self, matrix: sparse.csr_array) -> None:
        """Take this matrix; its weights in the precision of the module."""
        if matrix.shape != self.shape:
            raise InputError(f"A propagation of shape {self.shape} cannot take a matrix of shape {matrix.shape}.")
        index = np.int32 if matrix.nnz < 2**31 else np.int64
        device = self.weight_E.device
        self.offset_N1 = torch.tensor(matrix.indptr.astype(index, copy=False), device=device)
        self.column_E = torch.tensor(matrix.indices.astype(index, copy=False), device=device)
        self.weight_E = torch.tensor(matrix.data, device=device, dtype=self.weight_E.dtype)
        self._forget()

    def forward(self, x_ND: Tensor) -> Tensor:
        """What every node reads: vectors (columns, D) to (rows, D)."""
        return self.operator() @ x_ND

    def operator(self) -> Operator:
        """The matrix, ready to be multiplied many times."""
        if self._operator is None:
            mine = self.offset_N1, self.column_E, self.weight_E
            offset_M1, column_E, place_E = self._turned()
            turned = offset_M1, column_E, self.weight_E[place_E]
            matrix = Compressed(self.shape, *mine)
            same = all(map(torch.equal, mine, turned))
            self._operator = Operator(matrix, matrix if same else Compressed(self.shape[::-1], *turned))
        return self._operator

    def thinned(self, edges: float = 0.0, nodes: float = 0.0, generator: torch.Generator | None = None) -> Operator:
        """The matrix with edges left out at random and the others scaled up, so that it is the same in the mean.

        One draw serves all layers of a step. The two directions of an edge fall independently.

        Args:
            edges: Share of the edges that are left out (what published code of NGCF calls node dropout).
            nodes: Share of the nodes that nobody reads from.
            generator: Of the module's device.
        """
        if not (0 <= edges < 1 and 0 <= nodes < 1):
            raise InputError(f"A share to leave out is at least 0 and below 1; found {edges} and {nodes}.")
        if not (edges or nodes):
            return self.operator()
        if generator is None:
            raise InputError("What is left out is drawn at random: give a torch.Generator.")
        weight_E, device = self.weight_E, self.weight_E.device
        if edges:
            kept_E = torch.rand(len(weight_E), generator=generator, device=device) >= edges
            weight_E = weight_E * kept_E / (1 - edges)
        if nodes:
            kept_N = torch.rand(self.shape[1], generator=generator, device=device) >= nodes
            weight_E = weight_E * kept_N[self.column_E] / (1 - nodes)
        offset_M1, column_E, place_E = self._turned()
        matrix = Compressed(self.shape, self.offset_N1, self.column_E, weight_E)
        return Operator(matrix, Compressed(self.shape[::-1], offset_M1, column_E, weight_E[place_E]))

    def _turned(self) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets and columns of the transpose, and which edge each of its edges is."""
        if self._transpose is None:
            parts = np.arange(len(self.column_E)), self.column_E.cpu().numpy(), self.offset_N1.cpu().numpy()
            turned = sparse.csr_array(parts, shape=self.shape).T.tocsr()
            device, index = self.weight_E.device, self.column_E.dtype
            arrays = turned.indptr, turned.indices, turned.data
            offset_M1, column_E, place_E = (torch.as_tensor(each, device=device, dtype=index) for each in arrays)
            self._transpose = offset_M1, column_E, place_E
        return self._transpose

    def _forget(self) -> None:
        """Nothing that was made of the buffers is true any more."""
        self._operator = self._transpose = None

    def _apply(self, *given: Any, **named: Any) -> Propagation:
        self._forget()
        super()._apply(*given, **named)  # type: ignore[no-untyped-call]  # as above
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_operator": None, "_transpose": None}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        offset_N1 = state_dict.get(prefix + "offset_N1")
        if offset_N1 is not None:
            self.offset_N1 = self.offset_N1.to(offset_N1.dtype)
        self._forget()
        super()._load_from_state_dict(state_dict, prefix, *others)
