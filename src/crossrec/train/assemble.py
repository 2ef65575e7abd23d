"""From names, a preset and settings on top of it to the model, the sampler and the training settings of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from crossrec.config import fields, from_settings
from crossrec.data import splits
from crossrec.data.splits import AuthorsLeaveLastOut
from crossrec.errors import InputError, nearest
from crossrec.models import table as models
from crossrec.models.base import Model
from crossrec.samplers import table as samplers
from crossrec.samplers.base import Sampler
from crossrec.train.settings import TrainConfig

AnyModel = str | Model | type[Model]
AnySampler = str | Sampler | type[Sampler]


def for_split(spec: Mapping[str, Any], train_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Training settings with what a split's spec implies: under the authors' split they validate by their protocol."""
    implied = {"protocol": "authors"} if spec.get("split") == AuthorsLeaveLastOut.name else {}
    return {**implied, **train_settings}


def preset_of(model: AnyModel, preset: str) -> Mapping[str, Mapping[str, Any]]:
    """The settings under a preset's name. Raises InputError where the model has no such preset."""
    kind = models.find(model) if isinstance(model, str) else model
    if preset not in kind.presets:
        raise InputError(f"{kind.name} has no preset {preset!r}.{nearest(preset, kind.presets)}")
    return kind.presets[preset]


def sampler_kind(model: AnyModel, preset: str, sampler: AnySampler | None) -> type[Sampler]:
    """The class of the sampler that is asked for, else of the preset's."""
    chosen = preset_of(model, preset).get("sampler", {}).get("name", "uniform") if sampler is None else sampler
    if isinstance(chosen, str):
        return samplers.find(chosen)
    return type(chosen) if isinstance(chosen, Sampler) else chosen


def known_settings(model: str, preset: str, sampler: str | None, split: str) -> dict[str, Collection[str]]:
    """The settings of every part of a run: ``model``, ``train``, ``sampler`` and ``split``. Raises InputError for a name
    that does not exist.
    """
    return {
        "model": fields(models.find(model).Config),
        "train": fields(TrainConfig),
        "sampler": fields(sampler_kind(model, preset, sampler).Config),
        "split": [key for key in fields(splits.find(split)) if key != "target"],
    }


def assemble(
    model: AnyModel,
    sampler: AnySampler | None,
    preset: str,
    train_settings: Mapping[str, Any],
    model_settings: Mapping[str, Any],
    sampler_settings: Mapping[str, Any],
) -> tuple[Model, TrainConfig, Sampler | None]:
    """The parts of a run. A name or class takes the preset's settings and those given on top; an object stays as it is.

    The preset's sampler settings hold for its own sampler, also where that is named; another one takes those that it
    has as well (``shared``).
    """
    chosen = preset_of(model, preset)
    kind = sampler_kind(model, preset, sampler)
    train = from_settings(TrainConfig, {**chosen.get("train", {}), **train_settings})
    if (isinstance(model, Model) and model_settings) or (isinstance(sampler, Sampler) and sampler_settings):
        raise InputError("Settings come on top of a name or a class; an object has its own already.")
    made = model if isinstance(model, Model) else models.make(model, **{**chosen.get("model", {}), **model_settings})
    if train.loss == "softmax":
        if sampler_settings:
            raise InputError(
                f"The loss 'softmax' draws no negatives: leave the sampler's settings ({', '.join(sampler_settings)}) out."
            )
        return made, train, None
    if isinstance(sampler, Sampler):
        return made, train, sampler
    known = fields(kind.Config)
    base = {key: value for key, value in chosen.get("sampler", {}).items() if key in known}
    return made, train, samplers.make(kind, **{**base, **sampler_settings})
