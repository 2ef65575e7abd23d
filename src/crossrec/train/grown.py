"""A model for more users and items than it was trained for: what is known keeps its rows, what is new has fresh ones.

How a tensor depends on the catalogue is found by building the same model for tiny catalogues of different sizes. Three
layouts of rows are known: users; the padding and the items of some domains, in the order that the module's ``row_V``
says; and both, where the module says which comes first. U users, V ids, R rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.data.vocabulary import Catalogue, Ints
from crossrec.errors import InputError
from crossrec.models.base import Model
from crossrec.nn.graph_users import Nodes
from crossrec.streams import Streams


@dataclass(frozen=True)
class Axis:
    """How the length of an axis follows from a catalogue: users times X, items of some domains, and a constant."""

    number: int
    users: int
    domains: tuple[str, ...]
    constant: int


def grown(old: Model, catalogue: Catalogue, streams: Streams) -> Model:
    """The model for a catalogue that has grown at the ends of its blocks: every old row bit for bit, new ones as drawn.

    What the model counts in the training rows is left to its :meth:`~crossrec.models.base.Model.learn`: of a module with a
    buffer of another shape (the edges of a graph) no buffer is taken.

    Raises InputError where the layout of a parameter is not known.
    """
    assert old.catalogue is not None, "a model that is built"
    moved_V = old.catalogue.moved_to(catalogue)
    axes = _axes(old)
    with streams.ambient("init"):
        model = type(old)(old.config).build(catalogue, old.target, old.sources)
    mine, theirs = model.state_dict(), old.state_dict()
    places = {name: _place(old, model, name, axes.get(name, []), moved_V) for name in mine}
    trained = {name for name, _ in model.named_parameters()}
    for name in trained:
        if places[name] is None:
            raise InputError(
                f"{old.name} keeps {name!r} in a layout that cannot be grown for new users and items. Train the run again on "
                "all events."
            )
    counted = {name.rpartition(".")[0] for name, place in places.items() if place is None}
    with torch.no_grad():
        for name, place in places.items():
            if place is not None and (name in trained or name.rpartition(".")[0] not in counted):
                place.take(mine[name], theirs[name].to(mine[name].device))
    return model


@dataclass(frozen=True, eq=False)
class _Place:
    """Along which axis rows have moved (-1: none), from where to where."""

    number: int
    old: Ints
    new: Ints

    def take(self, mine: Tensor, theirs: Tensor) -> None:
        """Write the rows of one tensor into another."""
        if self.number < 0:
            mine.copy_(theirs)
        else:
            old, new = (torch.as_tensor(rows, device=mine.device) for rows in (self.old, self.new))
            mine.index_copy_(self.number, new, theirs.index_select(self.number, old))


_SAME = _Place(-1, np.empty(0, np.int64), np.empty(0, np.int64))


def _place(old: Model, model: Model, name: str, axes: list[Axis], moved_V: Ints) -> _Place | None:
    """Where the rows of a tensor are, in both models; None where that is not known, or lengths differ by something else."""
    was, now = old.state_dict()[name].shape, model.state_dict()[name].shape
    grows = [axis.number for axis in axes]
    same = len(was) == len(now) and all(
        a == b for n, (a, b) in enumerate(zip(was, now, strict=False)) if n not in grows
    )
    if not same or len(axes) > 1 or (axes and axes[0].constant not in (0, 1)):
        return None
    if not axes:
        return _SAME
    axis = axes[0]
    before_rows, after_rows = _rows(old, name, axis), _rows(model, name, axis)
    if before_rows is None or after_rows is None:
        return None
    (user_XU, row_V), (new_XU, new_V) = before_rows, after_rows
    known_V = np.flatnonzero(row_V >= 0)
    before = np.concatenate([user_XU.flatten(), row_V[known_V]])
    after = np.concatenate([new_XU[:, : user_XU.shape[1]].flatten(), new_V[moved_V[known_V]]])
    size = was[axis.number]
    if not np.array_equal(np.sort(before), np.arange(size)) or (after < 0).any() or len(np.unique(after)) < size:
        return None
    return _Place(axis.number, before, after)


def _rows(model: Model, name: str, axis: Axis) -> tuple[Ints, Ints] | None:
    """Rows of all users, (X, U), and of all ids, (V,), -1 for those that have none; None where that is not known."""
    assert model.catalogue is not None
    catalogue, owner = model.catalogue, model.get_submodule(name.rpartition(".")[0])
    people = axis.users * catalogue.num_users
    row_V, first = np.full(catalogue.num_ids, -1), 0
    if axis.domains:
        found = _laid_out(owner, catalogue, axis)
        if found is None:
            return None
        row_V[found >= 0] = found[found >= 0]
        if axis.users:
            begins = _users_begin(owner, int(row_V.max()) + 1)
            if begins is None:
                return None
            first = begins
            row_V[row_V >= 0] += people if not first else 0
    elif axis.constant:
        return None
    return first + np.arange(people).reshape(axis.users, catalogue.num_users), row_V


def _laid_out(owner: nn.Module, catalogue: Catalogue, axis: Axis) -> Ints | None:
    """Row of every id among the items' rows, the padding's first; -1 for those without."""
    inside_V = np.zeros(catalogue.num_ids, dtype=bool)
    for name in axis.domains:
        block = catalogue.block(name)
        inside_V[block.start : block.stop] = True
    row_V = np.full(catalogue.num_ids, -1)
    for module in (owner, *owner.children()):
        said = getattr(module, "row_V", None)
        if axis.constant and isinstance(said, Tensor) and np.array_equal(said.cpu().numpy() > 0, inside_V):
            row_V[inside_V] = said.cpu().numpy()[inside_V]
            row_V[0] = 0
            return row_V
    if len(axis.domains) > 1:
        return None
    row_V[inside_V] = axis.constant + np.arange(inside_V.sum())
    if axis.constant:
        row_V[0] = 0
    return row_V


def _users_begin(owner: nn.Module, items: int) -> int | None:
    """The row of the first user, where users and items share an axis: before all items, or behind them."""
    if any(isinstance(module, Nodes) for module in owner.children()):
        return 0
    return items if getattr(owner, "first_user", None) == items else None


def _axes(model: Model) -> dict[str, list[Axis]]:
    """The axes of every tensor that follow from the catalogue, by building the model for tiny ones."""
    assert model.catalogue is not None
    names = model.catalogue.domains
    plain = Catalogue({name: 23 + 8 * at for at, name in enumerate(names)}, 57)
    built = {"": _shapes(model, plain), "users": _shapes(model, replace(plain, num_users=plain.num_users + 1))}
    for name in names:
        built[f"of {name}"] = _shapes(model, replace(plain, sizes={**plain.sizes, name: plain.sizes[name] + 1}))
    found: dict[str, list[Axis]] = {}
    for name, shape in built[""].items():
        for number, size in enumerate(shape):
            steps = {key: shapes[name][number] - size for key, shapes in built.items() if key}
            if any(steps.values()):
                found.setdefault(name, []).append(_axis(number, size, steps, plain))
    return found


def _axis(number: int, size: int, steps: Mapping[str, int], plain: Catalogue) -> Axis:
    domains = tuple(name for name in plain.domains if steps[f"of {name}"] == 1)
    constant = size - steps["users"] * plain.num_users - sum(plain.sizes[name] for name in domains)
    return Axis(number, steps["users"], domains, constant)


def _shapes(model: Model, catalogue: Catalogue) -> dict[str, tuple[int, ...]]:
    with Streams(0).ambient("init"):
        made = type(model)(model.config).build(catalogue, model.target, model.sources)
    return {name: tuple(value.shape) for name, value in made.state_dict().items()}
