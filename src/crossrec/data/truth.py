"""What the users of a planted world truly want: known, because it was planted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crossrec.data.dataset import Dataset
from crossrec.data.planted import Singles
from crossrec.data.simulate import MARK, Simulated
from crossrec.data.vocabulary import Ints, Vocabulary
from crossrec.errors import InputError


class PlantedTruth:
    """How likely an event of a user in a domain is each of its items: U users, C interests, V items of a domain.

    The probability is that of the user's whole time, moods averaged: the interest's, times the item's within it. Over
    all items of the world it sums to 1.
    """

    def __init__(self, data: Dataset, world: Simulated | str | os.PathLike[str]) -> None:
        """``data``: made of the logs of ``world``, which is what ``simulate`` gave, or the folder that it wrote.

        Raises InputError where the folder has no truth, or knows a user or an item of the data not.
        """
        users, items = (world.true_users, world.true_items) if isinstance(world, Simulated) else _read(Path(world))
        row_U = _places("user", data.users, users.column("user_id"))
        self.interest_UC: dict[str, Singles] = {}
        self.interest_V: dict[str, Ints] = {}
        self.weight_V: dict[str, Singles] = {}
        for name, vocabulary in data.items.items():
            if f"interests_{name}" not in users.column_names:
                raise InputError(f"The world knows no domain {name!r}: give the one that the data was simulated as.")
            own = items.filter(pc.equal(items.column("domain"), name))
            row_V = _places("item", vocabulary, own.column("item_id"))
            chance = users.column(f"interests_{name}").combine_chunks()
            self.interest_UC[name] = chance.flatten().to_numpy().reshape(len(chance), -1)[row_U]
            self.interest_V[name] = own.column("interest").to_numpy()[row_V]
            self.weight_V[name] = own.column("weight").to_numpy()[row_V].astype(np.float32)

    def __call__(self, domain: str, user_N: Ints) -> Singles:
        """The probabilities (N, V) of a domain's items, in the order of their ids, for users by number."""
        return np.asarray(self.interest_UC[domain][user_N][:, self.interest_V[domain]] * self.weight_V[domain])


def _places(kind: str, vocabulary: Vocabulary, known: pa.ChunkedArray) -> Ints:
    """Where the truth has each of the data's ids."""
    row = Vocabulary(known.combine_chunks()).index(vocabulary.text)
    if (row < 0).any():
        stranger = vocabulary.text[int(np.argmin(row))]
        raise InputError(f"The world knows no {kind} {stranger}: give the one that the data was simulated as.")
    return row


def _read(folder: Path) -> tuple[pa.Table, pa.Table]:
    place = (folder / MARK).parent
    if not (folder / MARK).is_file():
        raise InputError(f"{folder} is no simulated world (there is no {MARK}): give what `crossrec simulate` wrote.")
    return pq.read_table(place / "users.parquet"), pq.read_table(place / "items.parquet")
