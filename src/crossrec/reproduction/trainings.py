"""The run folders of a recipe: trained where they are missing, resumed where they are unfinished, else left alone."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossrec.config import from_settings, route
from crossrec.data import splits
from crossrec.data.dataset import Dataset
from crossrec.data.filters import Filters
from crossrec.data.locks import alone
from crossrec.data.prepared import HEADER
from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.evaluation.run import evaluate_run
from crossrec.experiments.results import results_of
from crossrec.recommender import Recommender
from crossrec.reproduction.files import find_logs
from crossrec.reproduction.recipe import Cell, Data, Recipe
from crossrec.runs import CONFIG, INFO, read_json
from crossrec.train.assemble import PREFERENCES, Asked, for_split
from crossrec.train.fit import fit
from crossrec.train.settings import TrainConfig

PREFERENCES_SEED = 1
"""Of the run that a plug-in looks into: one for all seeds, as it was published."""

Watch = Callable[[str], AbstractContextManager[Callable[[dict[str, Any]], None]]]
"""Given the metric of validation, what watches one training: called with a record per epoch."""


@dataclass
class Trainings:
    """Where a recipe's runs are and how they come to be there.

    ``RUNS/<target>/<variant>/<row>/seed-<n>``; ``RUNS/quick/<target>/...`` where they are quick; ``<data>/`` comes before
    the target where the recipe has several.
    """

    recipe: Recipe
    runs: Path
    watch: Watch
    tell: Callable[[str], None]
    logs: Path | None = None
    """The logs, or the folder of all logs; None: where they usually are."""
    quick: bool = False
    device: str = "cpu"
    _data: dict[str, Dataset] = field(default_factory=dict)
    _splits: dict[tuple[str, ...], Split] = field(default_factory=dict)

    def folder(self, cell: Cell, seed: int) -> Path:
        """The run folder of a cell and seed."""
        base = self._base(cell.data, "quick" if self.quick else "")
        return base / cell.served[0] / cell.variant.name / cell.row.slug / f"seed-{seed}"

    def finished(self, cell: Cell, seed: int) -> bool:
        """Whether the run is trained."""
        return (self.folder(cell, seed) / INFO).is_file()

    def data(self, data: Data) -> Dataset:
        """The prepared logs; read and prepared at the first time.

        Raises InputError where the logs are not to be found, or others than those that were prepared are named.
        """
        if data.name not in self._data:
            self._data[data.name] = self._prepare(data)
        return self._data[data.name]

    def split(self, cell: Cell) -> Split:
        """The split of a cell."""
        held = self._routed(cell)["split"]
        target, *further = cell.served
        held |= {"also": further} if further else {}
        key = (cell.data.name, target, cell.variant.split, json.dumps(held, sort_keys=True))
        if key not in self._splits:
            spec = {"split": cell.variant.split, "target": target, **held}
            self._splits[key] = splits.apply(spec, self.data(cell.data))
        return self._splits[key]

    def check(self, cell: Cell, seed: int) -> None:
        """Raises InputError unless the recipe's settings exist and the run that is there, if any, has the same."""
        now, defaults = self._asked(cell, seed)
        folder = self.folder(cell, seed)
        if not (folder / CONFIG).is_file():
            return
        said = list(_changed(read_json(folder, CONFIG), now, defaults if self.finished(cell, seed) else {}))
        if said:
            raise InputError(
                f"{folder} has other settings than the recipe: {'; '.join(said)}. Move it away, or name another folder with "
                "--runs."
            )

    def train(self, cell: Cell, seed: int) -> Path:
        """The finished run of a cell and seed, and of the row it starts from."""
        folder = self.folder(cell, seed)
        self.check(cell, seed)
        if self.finished(cell, seed):
            return folder
        begins, source = self._other(cell, cell.row.start), self._other(cell, cell.row.preferences)
        start = self.train(begins, seed) if begins else None
        looked_into = self.train(source, PREFERENCES_SEED) if source else None
        with alone(folder, lambda: self.tell(f"Another process trains {folder}; waiting for it ...")):
            if not self.finished(cell, seed):
                self._fit(cell, seed, folder, start, looked_into)
        return folder

    def evaluate(self, cell: Cell, seed: int) -> None:
        """Rank the test items of a cell's finished run under the protocols for which it has no results."""
        folder = self.folder(cell, seed)
        wanted = [each for each in cell.variant.protocols if not results_of(folder, each, cell.target).is_file()]
        if not wanted:
            return
        recommender = Recommender.load(folder, device=self.device)
        with alone(folder, lambda: self.tell(f"Another process ranks in {folder}; waiting for it ...")):
            for protocol in wanted:
                if not results_of(folder, protocol, cell.target).is_file():
                    self.tell(f"Ranking {cell}, seed {seed}, under the protocol {protocol} ...")
                    evaluate_run(folder, protocol, recommender=recommender, target=cell.target)

    def command(self, cell: Cell, table: str, seeds: int, device: str) -> str:
        """The command that measures one cell."""
        words = ["crossrec", "reproduce", self.recipe.paper, "--table", table, "--rows", cell.row.slug]
        words += ["--targets", cell.target, "--protocol", cell.variant.name]
        words += ["--seeds", str(seeds)] if seeds != cell.row.seeds[cell.variant.name] else []
        words += ["--device", device] if device != "cpu" else []
        return shlex.join([*words, *(["--quick"] if self.quick else [])])

    def _sources(self, cell: Cell) -> tuple[str, ...]:
        """The domains that the run of a cell learns from."""
        others = tuple(name for name in self.data(cell.data).domains if name != cell.served[0])
        return cell.row.sources.get(cell.target, others)

    def _other(self, cell: Cell, name: str | None) -> Cell | None:
        """The same cell of another row."""
        return dataclasses.replace(cell, row=self.recipe.row(name)) if name else None

    def _base(self, data: Data, below: str = "") -> Path:
        root = self.runs / below
        return root / data.name if len(self.recipe.data) > 1 else root

    def _prepare(self, data: Data) -> Dataset:
        place = self._base(data) / "prepared"
        with alone(place, lambda: self.tell(f"Another process prepares {place}; waiting for it ...")):
            there = Dataset.load(place) if (place / HEADER).is_file() else None
            if there is not None and self.logs is None:
                return there
            logs = find_logs(data, self.logs)
            self.tell(f"Reading {logs} ...")
            filters = from_settings(Filters, data.filters) if data.filters else None
            read = Dataset.from_folder(logs, domains=data.domains, filters=filters)
            if there is not None and there.hash != read.hash:
                raise InputError(
                    f"{place} was prepared from other logs (hash {there.hash}) than {logs} (hash {read.hash}). Name another "
                    "folder with --runs."
                )
            return there or Dataset.load(read.save(place))

    def _routed(self, cell: Cell) -> dict[str, dict[str, Any]]:
        """The cell's settings by whose they are."""
        row, where = cell.row, f"The recipe {self.recipe.paper!r}, row {cell.row.name!r}"
        try:
            known = Asked(row.model, row.sampler, row.plugin, row.preset).known(cell.variant.split)
            told = {**cell.variant.settings, **row.settings, **row.by_target.get(cell.target, {})}
            routed = route(told, known, (PREFERENCES,))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        for name, value in self.recipe.quick.items() if self.quick else ():
            part, _, key = name.partition(".")
            if key in known.get(part, ()):
                routed[part][key] = value
        return routed

    def _asked(self, cell: Cell, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """What ``config.json`` of the run says, and the defaults of the settings in it."""
        row, routed, split = cell.row, self._routed(cell), self.split(cell)
        settings = {**routed, "train": for_split(split.spec, routed["train"])}
        parts = Asked(row.model, row.sampler, row.plugin, row.preset, settings).assemble()
        source = self._other(cell, row.preferences)
        looked_into = self._asked(source, PREFERENCES_SEED)[0] if source else None
        now = parts.recipe(split, self._sources(cell), row.preset, seed, looked_into)
        configs = {"settings": parts.model, "sampler": parts.sampler, "plugin": parts.plugin}
        defaults = {key: part.Config() for key, part in configs.items() if part is not None} | {"train": TrainConfig()}
        plain = {key: dataclasses.asdict(config) for key, config in defaults.items()}
        return json.loads(json.dumps(now)), json.loads(json.dumps(plain))

    def _fit(self, cell: Cell, seed: int, folder: Path, start: Path | None, looked_into: Path | None) -> None:
        row, routed, begun = cell.row, self._routed(cell), (folder / CONFIG).is_file()
        metric = str(routed["train"].get("metric", TrainConfig().metric))
        self.tell(f"{'Resuming' if begun else 'Training'} {cell}, seed {seed} ({folder})")
        with self.watch(metric) as log:
            recommender = fit(
                row.model,
                self.split(cell),
                sources=self._sources(cell),
                sampler=row.sampler,
                plugin=row.plugin,
                preferences=looked_into,
                preset=row.preset,
                seed=seed,
                out=folder,
                resume=True,
                start=start,
                device=self.device,
                log=log,
                command=self.command(cell, (cell.tables or row.tables)[0], row.seeds[cell.variant.name], self.device),
                model_settings=routed["model"],
                sampler_settings=routed["sampler"],
                plugin_settings=routed.get("plugin"),
                **routed["train"],
            )
        if start and not begun and not recommender.info.get("taken_over"):
            self.tell(f"Nothing could be taken over from {start}: {cell} was pre-trained anew.")


def _changed(before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it was. A setting that is newer than the run had its default there."""
    for key, new in now.items():
        old = before.get(key)
        if not (isinstance(old, dict) and isinstance(new, dict)):
            if old != new:
                yield f"{key} is {old!r} there and {new!r} here"
            continue
        meant = {name: value for name, value in defaults.get(key, {}).items() if name in new} | old
        for name in meant.keys() | new.keys():
            if meant.get(name) != new.get(name):
                yield f"{key}.{name} is {meant.get(name)!r} there and {new.get(name)!r} here"
