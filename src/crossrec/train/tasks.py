"""Tasks beside ranking what comes next: the settings that follow from one, and what it needs of a model and of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crossrec.data.scale import Scale, check_ratings
from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.evaluation.ratings import Biases
from crossrec.evaluation.tasks import DEFAULTS
from crossrec.models.base import Model, Phase
from crossrec.train.settings import TrainConfig

_TRAINING: Mapping[str, Mapping[str, Any]] = {
    "ratings": {"task": "ratings", "loss": "mse"},
    "clicks": {"task": "clicks", "loss": "bce", "negatives": 1},
}
_LOSSES = {"ratings": ("mse",), "clicks": ("bce", "mse")}


def task_of(settings: Mapping[str, Any]) -> str:
    """The task that settings of training ask for; a squared error without a task is that of ratings."""
    return str(settings.get("task") or ("ratings" if settings.get("loss") == "mse" else "ranking"))


def implied(task: str, own_loss: bool) -> dict[str, Any]:
    """The settings of training that follow from a task where nothing else is said."""
    if task not in _TRAINING:
        return {}
    protocol, metric = DEFAULTS[task]
    own = {"loss": "own"} if own_loss else {}
    return {**_TRAINING[task], **own, "protocol": protocol, "metric": metric}


def check_settings(model: Model, config: TrainConfig, plugged: bool) -> None:
    """Raise InputError where a model cannot be trained for the task, or not by this loss."""
    task = config.task
    Scale.of(config.rating_scale)
    if model.own_loss:
        if task not in model.own_tasks:
            raise InputError(
                f"{model.name} is trained by its own loss, which is made for {' and '.join(model.own_tasks)}, not for "
                f"{task}. Take another model, or leave the setting task out."
            )
    elif task == "ranking" and config.loss == "mse":
        raise InputError("loss=mse is the loss of ratings or of clicks: say task=ratings or task=clicks.")
    elif task != "ranking" and config.loss not in _LOSSES[task]:
        raise InputError(f"task={task} is trained by loss={' or '.join(_LOSSES[task])}, not by {config.loss}.")
    if config.protocol == "ratings" and task != "ratings":
        raise InputError("The protocol 'ratings' validates predicted ratings: say task=ratings, or take another one.")
    if plugged and (task == "ratings" or config.loss == "mse"):
        raise InputError("Plug-ins change positives and negatives, and this loss has none like those: leave it out.")


def check_data(model: Model, split: Split, config: TrainConfig) -> None:
    """Raise InputError where a run is to predict ratings, and model or data have none. ``model`` is built."""
    if config.task == "ratings":
        if not model.phases():
            raise InputError(f"{model.name} counts and is not trained: it predicts no rating. Take another model.")
        check_ratings(split.data, Scale.of(config.rating_scale), split.targets)


def settled(config: TrainConfig, split: Split) -> TrainConfig:
    """The settings with the offset that the training ratings give, where it is not said."""
    if config.task != "ratings" or config.rating_offset is not None:
        return config
    scale = Scale.of(config.rating_scale)
    mean = float(scale.share(Biases(split, split.target, scale).mean))
    share = min(max(mean, 0.01), 0.99)  # all ratings may be the highest there is
    return replace(config, rating_offset=math.log(share / (1 - share)))


def check_rated(phase: Phase, rows: int) -> None:
    """Raise InputError where a phase has no rating to learn from."""
    if not rows:
        names = ", ".join(map(repr, (phase.domain, *phase.also)))
        raise InputError(
            f"The phase {phase.name!r} learns from ratings in {names}, and no training event there that the model can be "
            "asked about has one. Leave that domain out of the sources, or take another model."
        )
