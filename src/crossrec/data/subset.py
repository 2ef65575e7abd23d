"""Part of a dataset: some of its interactions, and the users and items that still have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crossrec.data.arrow import from_numpy
from crossrec.data.dataset import Dataset
from crossrec.data.vocabulary import Ints, Vocabulary
from crossrec.errors import DataError


def user_of(data: Dataset) -> npt.NDArray[np.int32]:
    """The user of every interaction, shape (E,)."""
    return np.repeat(np.arange(data.num_users, dtype=np.int32), np.diff(data.offset_U1))


def subset(data: Dataset, keep: npt.NDArray[Any], card: Mapping[str, Any], ratings: bool = True) -> Dataset:
    """The dataset of the interactions kept. Vocabularies shrink to what is left, in their old order.

    Args:
        data: The whole.
        keep: Rows to keep: truth values of shape (E,), or their numbers in ascending order.
        card: The card of the result.
        ratings: Whether its ratings stay.

    Raises:
        DataError: if a domain would be left without an interaction.
    """
    item_E = np.asarray(data.item_E)[keep]
    user_E = user_of(data)[keep]
    users_left, user_E = _renumbered(user_E, data.num_users)
    items_left, number_E = _renumbered(item_E, data.catalogue.num_ids)
    items, titles = {}, {}
    for name, vocabulary in data.items.items():
        block = data.catalogue.block(name)
        left = items_left[(items_left >= block.start) & (items_left < block.stop)] - block.start
        if not len(left):
            raise DataError(f"Nothing is left of the domain {name!r}. Loosen the filters, or leave the domain out.")
        items[name] = _taken(vocabulary, left)
        if name in data.titles:
            titles[name] = data.titles[name].take(from_numpy(left))
    return replace(
        data,
        users=_taken(data.users, users_left),
        items=items,
        offset_U1=np.concatenate([[0], np.cumsum(np.bincount(user_E, minlength=len(users_left)))]).astype(np.int64),
        item_E=(number_E + 1).astype(np.int32),
        time_E=None if data.time_E is None else np.asarray(data.time_E)[keep],
        rating_E=None if data.rating_E is None or not ratings else np.asarray(data.rating_E)[keep],
        titles=titles,
        card=card,
        folder=None,
    )


def _renumbered(values: npt.NDArray[Any], size: int) -> tuple[Ints, npt.NDArray[Any]]:
    """(the values in use, ascending; every value's place among them)."""
    used = np.zeros(size, bool)
    used[values] = True
    place = np.cumsum(used) - 1
    return np.flatnonzero(used), place[values]


def _taken(vocabulary: Vocabulary, index: Ints) -> Vocabulary:
    return Vocabulary(vocabulary.text.take(from_numpy(index)), vocabulary.kind)
