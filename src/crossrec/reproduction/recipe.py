"""A paper's experiments as data: the rows of its tables, how each is trained, and under which protocols it is measured."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossrec.errors import InputError, nearest


@dataclass(frozen=True)
class Data:
    """One folder of logs."""

    name: str
    """Its name, below the folder of all logs; also what tables say."""
    targets: tuple[str, ...]
    """The domains that the paper recommends in."""
    filters: Mapping[str, Any] = field(default_factory=dict)
    """What is kept of the logs: settings of :class:`~crossrec.data.filters.Filters`."""
    tables: tuple[str, ...] | None = None
    """The tables that are made of these logs; None: all."""
    domains: tuple[str, ...] | None = None
    """The domains that are read; None: all there are."""


@dataclass(frozen=True)
class Variant:
    """One way of holding out and ranking."""

    name: str
    split: str
    protocols: tuple[str, ...]
    """Every run is measured under each of them."""
    compared: tuple[str, ...]
    """Those beside which the paper's figure stands: the others measure something else."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of training that come with it."""
    tables: tuple[str, ...] | None = None
    """The tables that are made under it; None: all."""
    metrics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per protocol, what is measured in place of the metrics of a table, the one first that is shown where only one is."""
    against: str | None = None
    """The row that every other is tested against, before those of its own; None: only those. It is trained first."""


HONEST = Variant("honest", "leave-last-out", ("sampled:99", "full"), ("sampled:99",), {"train.protocol": "sampled:99"})
"""Chosen on validation, tested once; the same 99 negatives for all, and full ranking beside them."""
AUTHORS = Variant("authors", "authors", ("authors",), ("authors",))
"""As the published code of RealHNS and PDRec does it, its leak included."""


@dataclass(frozen=True)
class Row:
    """One row of a table: a model and how it is trained."""

    name: str
    """As the table prints it."""
    tables: tuple[str, ...]
    model: str
    preset: str = "default"
    sampler: str | None = None
    """None: the preset's."""
    plugin: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """On top of the preset, as ``--set`` takes them: ``{"train.lr": 5e-4, "sampler.band": (20, 30)}``."""
    by_target: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further settings for one target alone."""
    start: str | None = None
    """The row whose pre-training is taken over: its run of the same seed is trained first."""
    preferences: str | None = None
    """The row whose run of seed 1 the plug-in looks into, whatever the row's own seed: it is trained first."""
    against: tuple[str, ...] = ()
    """The rows that its users are tested against, the main one first."""
    seeds: Mapping[str, int] = field(default_factory=lambda: {HONEST.name: 1})
    """Per variant, how many seeds: 1, 2, ... A variant that is not here is not run."""
    targets: tuple[str, ...] | None = None
    """None: all targets."""
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per target, the domains that are learned from; for a target that is not here all others."""
    together: bool = False
    """Whether one run serves all targets: trained for the first, validated and tested in the others as well. The variant's
    split must know further targets (``also``)."""

    @property
    def slug(self) -> str:
        """The name as folders have it: ``DNS*+GS`` is ``dns-star-gs``."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower().replace("*", "-star-")).strip("-")


@dataclass(frozen=True)
class Cell:
    """A row for one target under one variant: what is trained once per seed."""

    data: Data
    target: str
    variant: Variant
    row: Row

    def __str__(self) -> str:
        return f"{self.row.name} for {self.target}, {self.variant.name}"

    @property
    def served(self) -> tuple[str, ...]:
        """The targets of the cell's run, the one that it is trained for first."""
        if not self.row.together:
            return (self.target,)
        return tuple(name for name in self.data.targets if name in (self.row.targets or self.data.targets))

    @property
    def against(self) -> tuple[str, ...]:
        """The rows that it is tested against, the main one first."""
        names = [self.variant.against] if self.variant.against else []
        return tuple(name for name in dict.fromkeys([*names, *self.row.against]) if name != self.row.name)

    @property
    def tables(self) -> tuple[str, ...]:
        """The row's tables that are made of these logs under this variant."""
        kept = [tables for tables in (self.data.tables, self.variant.tables) if tables is not None]
        return tuple(name for name in self.row.tables if all(name in tables for tables in kept))


@dataclass(frozen=True)
class Recipe:
    """A paper's tables and how to make them again."""

    paper: str
    """Name of its folder."""
    title: str
    data: tuple[Data, ...]
    tables: Mapping[str, str]
    """What each table shows, by the name that ``--table`` takes."""
    rows: tuple[Row, ...]
    """A row comes after those that it starts from or is tested against."""
    metrics: tuple[str, ...] = ("ndcg@10", "hr@10")
    """Measured in a table of which the paper has no figures; else what the paper's table has."""
    headline: str = "ndcg@10"
    """The metric that is shown where only one is, unless a variant says it for its protocol."""
    variants: tuple[Variant, ...] = (HONEST, AUTHORS)
    quick: Mapping[str, Any] = field(default_factory=lambda: {"train.epochs": 1, "train.first_eval": 1})
    """Settings of ``--quick``; those that a model does not have are left out."""
    beware: str = ""
    """What holds for every gap to the paper."""
    why: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Known reasons of the gap of one cell, by row and target."""

    def __post_init__(self) -> None:
        """Raises InputError where names do not fit together."""
        earlier: dict[str, Row] = {}
        bound: list[Data | Variant] = [*self.data, *self.variants]
        for made in bound:
            for name in made.tables or ():
                if name not in self.tables:
                    raise InputError(
                        f"The recipe {self.paper!r}, {made.name!r}: there is no table {name!r}.{nearest(name, self.tables)}"
                    )
        for row in self.rows:
            where = f"The recipe {self.paper!r}, row {row.name!r}"
            if row.slug in {known.slug for known in earlier.values()}:
                raise InputError(f"{where}: another row has this name already.")
            for kind, said, known in (
                ("table", row.tables, self.tables),
                ("target", (*(row.targets or ()), *row.by_target, *row.sources), self.targets),
                ("variant", row.seeds, [variant.name for variant in self.variants]),
                ("earlier row", (*row.against, *(name for name in (row.start, row.preferences) if name)), earlier),
            ):
                for name in said:
                    if name not in known:
                        raise InputError(f"{where}: there is no {kind} {name!r}.{nearest(name, known)}")
            if row.together and (row.by_target or row.sources):
                raise InputError(
                    f"{where}: one run for all targets (together) has no settings or sources of one of them (by_target, "
                    "sources)."
                )
            if (row.plugin is None) != (row.preferences is None):
                raise InputError(f"{where}: a plug-in and the row whose run it looks into (preferences) go together.")
            for needed in (row.start, row.preferences):
                if needed and earlier[needed].together != row.together:
                    raise InputError(f"{where}: it needs {needed!r}: both are one run for all targets, or neither.")
                if needed and not row.seeds.keys() <= earlier[needed].seeds.keys():
                    raise InputError(f"{where}: it needs {needed!r}, which is not run under the same variants.")
            earlier[row.name] = row
        for variant in self.variants:
            tested = earlier.get(variant.against or "")
            if variant.against and (tested is None or variant.name not in tested.seeds):
                raise InputError(
                    f"The recipe {self.paper!r}, variant {variant.name!r}: no row {variant.against!r} is run under it."
                    f"{nearest(variant.against, earlier)}"
                )
        for name, target in self.why:
            if name not in earlier or target not in (earlier[name].targets or self.targets):
                raise InputError(
                    f"The recipe {self.paper!r}: it says why of {name!r} for {target!r}, and has no such cell."
                )

    @property
    def targets(self) -> tuple[str, ...]:
        """All targets, each once."""
        return tuple(dict.fromkeys(target for data in self.data for target in data.targets))

    def row(self, name: str) -> Row:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)

    def cells(
        self,
        tables: Sequence[str] | None = None,
        rows: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        protocol: str | None = None,
    ) -> list[Cell]:
        """The cells of these tables, rows (by name or slug) and targets (None: all), in the recipe's order.

        ``protocol`` is a variant's name, or ``all``; None: each table's own (see :meth:`usual`). Raises InputError for an
        unknown name, the nearest beside it, and where nothing is left.
        """
        tables = _chosen("table", tables, self.tables)
        targets = _chosen("target", targets, self.targets)
        there = [row for row in self.rows if set(row.tables) & set(tables)]
        slugs = {row.slug: row.name for row in there}
        asked = None if rows is None else [slugs.get(name.lower(), name) for name in rows]
        names = _chosen(f"row in table {', '.join(tables)}", asked, [row.name for row in there])
        asked_for = {"all": None, None: [name for table in tables for name in self.usual(table)]}.get(
            protocol, [str(protocol)]
        )
        variants = _chosen("variant", asked_for, [variant.name for variant in self.variants])
        wanted = (set(names), set(targets), set(variants))
        cells = [cell for cell in self._all() if _inside(cell, wanted) and set(cell.tables) & set(tables)]
        if not cells:
            raise InputError(
                f"The recipe {self.paper!r} has no such cell: rows {', '.join(names)}; targets {', '.join(targets)}; "
                f"protocol {', '.join(dict.fromkeys(variants))}."
            )
        return cells

    def shown(self, protocol: str) -> str:
        """The metric that is shown of a protocol where only one is."""
        own = [variant.metrics[protocol][0] for variant in self.variants if protocol in variant.metrics]
        return own[0] if own else self.headline

    def usual(self, table: str) -> list[str]:
        """The variants of a table where none is named: ``honest``, or those that make this one where that does not."""
        makes = [variant.name for variant in self.variants if variant.tables is None or table in variant.tables]
        return [HONEST.name] if HONEST.name in makes else makes

    def _all(self) -> Iterator[Cell]:
        for data in self.data:
            for target in data.targets:
                for variant in self.variants:
                    for row in sorted(self.rows, key=lambda row: row.name != variant.against):
                        if variant.name in row.seeds and target in (row.targets or self.targets):
                            yield Cell(data, target, variant, row)


def _inside(cell: Cell, wanted: tuple[set[str], set[str], set[str]]) -> bool:
    return all(
        name in names for name, names in zip((cell.row.name, cell.target, cell.variant.name), wanted, strict=True)
    )


def _chosen(kind: str, asked: Iterable[str] | None, known: Collection[str]) -> list[str]:
    """Those that were asked for, or all."""
    if asked is None:
        return list(known)
    for name in (asked := list(asked)):
        if name not in known:
            raise InputError(f"There is no {kind} {name!r}.{nearest(name, known)}")
    return asked
