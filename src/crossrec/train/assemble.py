"""From names, a preset and settings on top of it to the model, the sampler, the plug-in and the training settings of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from crossrec.config import fields, from_settings, route
from crossrec.data import splits
from crossrec.data.splits import AuthorsLeaveLastOut, Split
from crossrec.errors import InputError, nearest
from crossrec.models import table as models
from crossrec.models.base import Model
from crossrec.plugins import table as plugins
from crossrec.plugins.base import Plugin
from crossrec.samplers import table as samplers
from crossrec.samplers.base import Sampler
from crossrec.train import tasks
from crossrec.train.settings import TrainConfig

AnyModel = str | Model | type[Model]
AnySampler = str | Sampler | type[Sampler]
AnyPlugin = str | Plugin | type[Plugin]
PREFERENCES = "preferences"
"""The run that a plug-in looks into: its part of the settings, whose keys always carry the prefix, its place in a plug-in's
recipe, and its folder inside that of the run which it serves."""


def for_split(spec: Mapping[str, Any], train_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Training settings with what a split's spec implies: under the authors' split they validate by their protocol."""
    theirs = spec.get("split") == AuthorsLeaveLastOut.name and tasks.task_of(train_settings) == "ranking"
    return {**({"protocol": "authors"} if theirs else {}), **train_settings}


class Assembly(NamedTuple):
    """The parts of a run."""

    model: Model
    train: TrainConfig
    sampler: Sampler | None
    """None where the loss draws no negatives."""
    plugin: Plugin | None

    def recipe(
        self, split: Split, sources: Sequence[str], preset: str, seed: int, preferences: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What is asked for, as ``config.json`` says it. ``preferences``: the same of the run that the plug-in looks into."""
        return {
            "format": 1,
            "model": self.model.name,
            "settings": self.model.settings(),
            "target": split.target,
            "sources": list(sources),
            "preset": preset,
            "seed": seed,
            "train": tasks.settled(self.train, split).recorded(),
            "sampler": None if self.sampler is None else _named(self.sampler),
            "plugin": None if self.plugin is None else {**_named(self.plugin), PREFERENCES: preferences},
            "split": dict(split.spec),
            "data_hash": split.data.hash,
        }


def _named(part: Sampler | Plugin) -> dict[str, Any]:
    return {"name": part.name, **dataclasses.asdict(part.config)}


@dataclass(frozen=True)
class Asked:
    """What a run is asked to be: names, classes or objects of its parts, a preset, and settings on top of it."""

    model: AnyModel
    sampler: AnySampler | None = None
    """None: the preset's."""
    plugin: AnyPlugin | None = None
    preset: str = "default"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By part: ``model``, ``train``, ``sampler``, ``plugin``, and ``preferences`` for the model that the plug-in looks into."""

    def known(self, split: str) -> dict[str, Collection[str]]:
        """The settings that every part of the run has, ``split`` among the parts. Raises InputError for a name that does not
        exist.
        """
        known: dict[str, Collection[str]] = {
            "model": fields(self._model_kind.Config),
            "train": fields(TrainConfig),
            "sampler": fields(self.sampler_kind.Config),
            "split": [key for key in fields(splits.find(split)) if key != "target"],
        }
        if self._plugin_kind is not None:
            looked_into = models.find(self._made_plugin().model).Config
            known["plugin"] = fields(self._plugin_kind.Config)
            known[PREFERENCES] = [*fields(looked_into), *fields(TrainConfig)]
        return known

    @property
    def sampler_kind(self) -> type[Sampler]:
        """The class of the sampler that is asked for, else of the preset's."""
        named = self._preset.get("sampler", {}).get("name", "uniform")
        chosen = named if self.sampler is None else self.sampler
        if isinstance(chosen, str):
            return samplers.find(chosen)
        return type(chosen) if isinstance(chosen, Sampler) else chosen

    def assemble(self) -> Assembly:
        """The parts. A name or class takes the preset's settings and those given on top; an object stays as it is.

        The preset's sampler settings hold for its own sampler, also where that is named; another one takes those that it
        has as well (``shared``).
        """
        asked = self.settings
        train = from_settings(TrainConfig, {**self._settled("train"), **asked.get("train", {})})
        for part, kind in (("model", Model), ("sampler", Sampler), ("plugin", Plugin)):
            if isinstance(getattr(self, part), kind) and asked.get(part):
                raise InputError("Settings come on top of a name or a class; an object has its own already.")
        settings = {**self._settled("model"), **asked.get("model", {})}
        made = self.model if isinstance(self.model, Model) else models.make(self.model, **settings)
        if made.own_loss != (train.loss == "own"):
            raise InputError(
                f"{made.name} {'is trained by its own loss alone' if made.own_loss else 'has no loss of its own'}: "
                f"{'leave the setting loss out' if made.own_loss else 'take another loss'}."
            )
        tasks.check_settings(made, train, self.plugin is not None)
        if made.own_loss and self.plugin is not None:
            raise InputError(f"{made.name} is trained by its own loss: a plug-in has no place there. Leave it out.")
        sampler = self._made_sampler(train)
        if sampler is not None and sampler.compares and not made.product:
            raise InputError(
                f"The sampler {sampler.name!r} compares vectors by their product, and {made.name} scores in another way: take "
                "uniform, popularity or nncf."
            )
        return Assembly(made, train, sampler, None if self.plugin is None else self._made_plugin())

    def preferences(self, model: Model) -> Asked:
        """The run that the plug-in looks into: a model that reads what ``model`` reads, with the preset of the same name."""
        kind = models.find(self._made_plugin().model)
        preset = self.preset if self.preset in kind.presets else "default"
        given = self.settings.get(PREFERENCES, {})
        train, own = fields(TrainConfig), fields(kind.Config)
        reads = {"domains": model.config.domains} if "domains" in own and hasattr(model.config, "domains") else {}
        shared = {key: value for key, value in self.settings.get("train", {}).items() if key in ("protocol", "metric")}
        sorted_ = route(given, {"model": own, "train": train})
        settings = {"model": reads | sorted_["model"], "train": shared | sorted_["train"]}
        return Asked(kind, preset=preset, settings=settings)

    @property
    def _model_kind(self) -> type[Model]:
        if isinstance(self.model, str):
            return models.find(self.model)
        return type(self.model) if isinstance(self.model, Model) else self.model

    @property
    def _plugin_kind(self) -> type[Plugin] | None:
        if isinstance(self.plugin, str):
            return plugins.find(self.plugin)
        return type(self.plugin) if isinstance(self.plugin, Plugin) else self.plugin

    @property
    def _preset(self) -> Mapping[str, Mapping[str, Any]]:
        """The model's settings under the preset's name. Raises InputError where neither it nor the plug-in has such a preset."""
        own, plugged = self._model_kind.presets, {} if self._plugin_kind is None else self._plugin_kind.presets
        if self.preset not in (*own, *plugged):
            raise InputError(f"{self._model_kind.name} has no preset {self.preset!r}.{nearest(self.preset, own)}")
        return own.get(self.preset, own["default"])

    def _settled(self, part: str) -> dict[str, Any]:
        """Settings of ``model`` or ``train`` before those that are asked for: the preset's, and what follows from the task,
        which comes on top of a preset that is not made for it.
        """
        preset, kind = self._preset, self._model_kind
        own, asked = preset.get("train", {}), self.settings.get("train", {})
        task = tasks.task_of({**own, **asked})
        follows = dict(kind.by_task.get(task, {}).get(part, {}))
        if part == "train":
            follows = {**tasks.implied(task, kind.own_loss), **follows}
        settings = preset.get(part, {})
        return {**follows, **settings} if tasks.task_of(own) == task else {**settings, **follows}

    def _made_sampler(self, train: TrainConfig) -> Sampler | None:
        given = self.settings.get("sampler", {})
        if not train.draws:
            if given:
                raise InputError(
                    f"The loss {train.loss!r} draws no negatives: leave the sampler's settings ({', '.join(given)}) out."
                )
            return None
        if isinstance(self.sampler, Sampler):
            return self.sampler
        kind = self.sampler_kind
        known = fields(kind.Config)
        base = {key: value for key, value in self._preset.get("sampler", {}).items() if key in known}
        if train.task == "clicks" and "shared" in known:
            base["shared"] = False
        return samplers.make(kind, **{**base, **given})

    def _made_plugin(self) -> Plugin:
        if isinstance(self.plugin, Plugin):
            return self.plugin
        kind = self._plugin_kind
        assert kind is not None, "asked only where a plug-in is named"
        base = kind.presets.get(self.preset, kind.presets["default"])
        return plugins.make(kind, **{**base, **self.settings.get("plugin", {})})
