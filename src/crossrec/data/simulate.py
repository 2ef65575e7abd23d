"""Simulated logs of several domains, with the truth about how much interests carry over between them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crossrec.data.beside import folder_beside
from crossrec.data.planted import (
    Log,
    People,
    Shelf,
    Singles,
    choose_interests,
    choose_items,
    mixtures,
    opinions,
    people,
    shelf,
    stars,
    timeline,
)
from crossrec.data.vocabulary import Ints
from crossrec.data.worlds import World
from crossrec.errors import InputError, nearest

START = 1_577_836_800
"""Unix time at which every world begins: 2020-01-01."""
DAY = 86_400
MARK = "truth/world.json"
"""The file by which a simulated folder is known."""
NOTE = "Simulated by crossrec from the parameters below. No real person, item or event is described."


@dataclass(frozen=True, eq=False)
class Simulated:
    """The logs of a planted world, and the truth behind them."""

    world: World
    tables: dict[str, pa.Table]
    """Per domain, in time order: ``user_id``, ``item_id`` (text), ``timestamp`` (unix seconds), ``rating`` (1 to 5)."""
    items: pa.Table
    """Every item of every domain: ``item_id``, ``domain``, ``title``, ``category`` (its interest)."""
    true_users: pa.Table
    """``user_id``, ``outlier``, ``outlier_domain``, and per domain ``present_<domain>`` and ``interests_<domain>`` (the
    mean probability of each interest over the user's time, also where the user is absent); where the world has opinions,
    ``opinions_<domain>`` (in stars, of each interest)."""
    true_items: pa.Table
    """``item_id``, ``domain``, ``interest`` (its number), ``weight`` (popularity within the interest, sums to 1 there)."""

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``<domain>.parquet``, ``items.parquet`` and ``truth/``; the folder is there whole or not at all.

        An earlier world at this place is replaced.

        Raises:
            DataError: if the folder holds something else, or cannot be written.
        """
        place = Path(folder)
        with folder_beside(place, MARK) as beside:
            self._fill(beside)
        return place

    def _fill(self, folder: Path) -> None:
        truth = folder / "truth"
        truth.mkdir()
        for domain, table in self.tables.items():
            _write(table, folder / f"{domain}.parquet")
        _write(self.items, folder / "items.parquet")
        _write(self.true_users, truth / "users.parquet")
        _write(self.true_items, truth / "items.parquet")
        facts = {
            "simulated": True,
            "note": NOTE,
            "world": self.world.parameters(),
            "strengths": self.world.strengths.tolist(),
            "interactions": {domain: table.num_rows for domain, table in self.tables.items()},
        }
        (folder / MARK).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def simulate(world: World) -> Simulated:
    """The logs of a world. Everything is drawn from its seed: the same world gives the same logs, byte for byte."""
    names, count = world.names, len(world.names)
    streams = np.random.SeedSequence(world.seed).spawn(3 + 2 * count)
    crowd_rng, leaning_rng, *rngs = (np.random.default_rng(stream) for stream in streams)
    stocks = [shelf(world.sizes[name], world, rng) for name, rng in zip(names, rngs[:count], strict=True)]
    crowd = people(world, crowd_rng)
    log_rngs = rngs[count : 2 * count]
    logs = [
        timeline(world.mean_events[name], crowd.present_UD[:, d], crowd, world, log_rngs[d])
        for d, name in enumerate(names)
    ]
    mean_UDC = np.empty((world.users, count, world.interests), dtype=np.float32)
    for first, chance in mixtures(world, crowd, leaning_rng):
        mean_UDC[first : first + len(chance)] = chance.mean(1)
        for d in range(count):
            choose_interests(logs[d], d, first, chance, log_rngs[d])
    opinion_UDC = opinions(world, crowd, rngs[-1]) if world.opinions else None
    users = _numbered("u", world.users, 6)
    item_ids = [_numbered(f"{name}-", world.sizes[name], 5) for name in names]
    tables = {}
    for d, name in enumerate(names):
        choose_items(logs[d], stocks[d], log_rngs[d])
        rating_E = stars(
            logs[d], stocks[d], world.interests, log_rngs[d], None if opinion_UDC is None else opinion_UDC[:, d]
        )
        tables[name] = _table(logs[d], rating_E, users, item_ids[d], world)
    return Simulated(
        world,
        tables,
        items=pa.concat_tables(_catalogue(*part) for part in zip(names, stocks, item_ids, strict=True)),
        true_users=_true_users(world, crowd, users, mean_UDC, opinion_UDC),
        true_items=pa.concat_tables(_true_items(*part) for part in zip(names, stocks, item_ids, strict=True)),
    )


def shuffle_domain(tables: Mapping[str, pa.Table], domain: str, seed: int) -> dict[str, pa.Table]:
    """The same logs with the users of one domain permuted: its own statistics stay, what it tells of the others goes.

    Every user of the domain gets the whole history of another one. Works on any tables with a column ``user_id``.

    Raises:
        InputError: if there is no such domain.
    """
    if domain not in tables:
        raise InputError(f"There is no domain {domain!r} to shuffle.{nearest(domain, tables)}")
    table = tables[domain].combine_chunks()
    at = table.schema.get_field_index("user_id")
    coded = pc.dictionary_encode(table.column(at).combine_chunks())
    order = np.random.default_rng(seed).permutation(len(coded.dictionary))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)  # one cycle through all: nobody keeps a history
    users = coded.dictionary.take(pa.array(other)).take(coded.indices)
    return {**tables, domain: table.set_column(at, table.schema.field(at), users)}


def _table(log: Log, rating_E: npt.NDArray[np.int8], users: pa.Array, items: pa.Array, world: World) -> pa.Table:
    order = np.argsort(log.when_E, kind="stable")
    second_E = (log.when_E[order] * (world.days * DAY)).astype(np.int64)
    if world.resolution == "day":
        second_E -= second_E % DAY
    return pa.table(
        {
            "user_id": users.take(pa.array(log.user_E[order])),
            "item_id": items.take(pa.array(log.item_E[order])),
            "timestamp": START + second_E,
            "rating": rating_E[order],
        }
    )


def _catalogue(domain: str, stock: Shelf, item_ids: pa.Array) -> pa.Table:
    interest = _numbered("interest ", 1 + int(stock.interest_V.max()), 1).take(pa.array(stock.interest_V))
    title = _numbered(f"{domain[0].upper()}{domain[1:]} ", len(item_ids), 1)
    return pa.table(
        {
            "item_id": item_ids,
            "domain": pa.repeat(domain, len(item_ids)),
            "title": pc.binary_join_element_wise(title, pc.binary_join_element_wise("(", interest, ")", ""), " "),
            "category": interest,
        }
    )


def _true_items(domain: str, stock: Shelf, item_ids: pa.Array) -> pa.Table:
    return pa.table(
        {
            "item_id": item_ids,
            "domain": pa.repeat(domain, len(item_ids)),
            "interest": stock.interest_V,
            "weight": stock.weight_V,
        }
    )


def _true_users(
    world: World, crowd: People, users: pa.Array, mean_UDC: Singles, opinion_UDC: Singles | None
) -> pa.Table:
    named = pa.array([*world.names, None])
    columns = {
        "user_id": users,
        "outlier": crowd.outlier_U >= 0,
        "outlier_domain": named.take(pa.array(crowd.outlier_U % len(named))),
    }
    for d, name in enumerate(world.names):
        columns[f"present_{name}"] = np.ascontiguousarray(crowd.present_UD[:, d])
        columns[f"interests_{name}"] = _lists(mean_UDC[:, d])
        if opinion_UDC is not None:
            columns[f"opinions_{name}"] = _lists(opinion_UDC[:, d])
    return pa.table(columns)


def _lists(value_UC: Singles) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(value_UC).ravel()), value_UC.shape[1])


def _numbered(prefix: str, count: int, width: int) -> pa.Array:
    number: Ints = np.arange(count)
    text = pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, text, "")


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd")
