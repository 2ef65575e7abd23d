"""Users and items as the nodes of one graph, and what is made of all of them at once, kept until something changes.

U users, X nodes of each (one per domain, or only one), R rows of items (row 0 is the padding's), N nodes, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy import sparse
from torch import Tensor, nn

from crossrec.data.graphs import Adjacency
from crossrec.data.vocabulary import Catalogue
from crossrec.nn.items import table_rows
from crossrec.nn.propagation import bipartite


class Nodes(nn.Module):
    """Which node is whom: first all users, X times; then the padding; then the items, domain by domain."""

    row_V: Tensor
    """Row of every global item id among the items, 0 for those of other domains."""

    def __init__(self, catalogue: Catalogue, domains: Sequence[str], copies: int = 1) -> None:
        """``copies``: X."""
        super().__init__()
        row_V, self.first = table_rows(catalogue, domains)
        self.sizes = dict(catalogue.sizes)
        self.users, self.copies = catalogue.num_users, copies
        self.people = copies * self.users
        self.rows = 1 + int(row_V.max())
        self.register_buffer("row_V", row_V, persistent=False)

    @property
    def count(self) -> int:
        """Number of nodes."""
        return self.people + self.rows

    def empty(self, *widths: int) -> nn.Parameter:
        """A parameter with a vector for every node, still to be drawn: (N, D), or (L, N, D) for widths L and D."""
        return nn.Parameter(torch.empty(*widths[:-1], self.count, widths[-1]))

    @torch.no_grad()
    def clear(self, weight: Tensor) -> None:
        """Set the padding's vector to zero."""
        weight[..., self.people, :] = 0

    def square(self, users: Adjacency, weight_E: Any = None) -> sparse.csr_array:
        """The square matrix (N, N) of a graph of these domains, whose rows are the X times U nodes of users."""
        return bipartite(users, self.row_V.cpu().numpy(), self.rows, weight_E)

    def parted(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Users' (X times U, D) and items' (R, D) share of vectors of all nodes."""
        return x_ND[: self.people], x_ND[self.people :]

    def of_users(self, x_UD: Tensor) -> Tensor:
        """Vectors of all nodes where users have these, each the same X times, and items zeros: (N, D)."""
        return torch.cat([x_UD.repeat(self.copies, 1), x_UD.new_zeros(self.rows, x_UD.shape[1])])

    def rows_of(self, domain: str) -> slice:
        """Where the items of a domain are, among the rows of items."""
        return slice(self.first[domain], self.first[domain] + self.sizes[domain])


@dataclass
class Made:
    """What a model made of all its parameters at once."""

    key: tuple[tuple[int, int], ...]
    """Of what: see :func:`state_key`."""
    graded: bool
    """Whether a gradient flows back from it."""
    user_ND: Tensor
    """Users' vectors, X times U of them: where a user differs by domain, domain after domain."""
    item_RD: Tensor
    met_ND: Tensor | None = None
    """What every row of items stands for when a stranger has it, X times R of them; made when first asked for."""


def state_key(module: nn.Module) -> tuple[tuple[int, int], ...]:
    """Changes whenever a parameter or buffer is replaced, or written to in a way that autograd sees."""
    return tuple((id(tensor), tensor._version) for tensor in (*module.parameters(), *module.buffers()))


def met(user_UD: Tensor, trained_U: Tensor, read_RD: Tensor) -> Tensor:
    """What items stand for when a stranger has them: (R, D).

    ``read``: of every item the weighted sum of its users' vectors and, in one more column, of their weights. The result is
    their mean; of an item that nobody has, and in row 0, that of all trained users.
    """
    everybody_D = user_UD[trained_U].sum(0) / trained_U.sum().clamp(min=1)
    sum_RD, weight_R1 = read_RD[:, :-1], read_RD[:, -1:]
    had_R1 = weight_R1 > 0
    return torch.where(had_R1, sum_RD / weight_R1.masked_fill(~had_R1, 1.0), everybody_D)


def unit_rows(x_ND: Tensor) -> Tensor:
    """Rows brought to length 1, (N, D); zeros stay, with a finite gradient. Fewer passes over memory than torch's own."""
    length_N1: Tensor = torch.linalg.vector_norm(x_ND, dim=1, keepdim=True)
    return x_ND * length_N1.masked_fill(length_N1 == 0, 1.0).reciprocal()
