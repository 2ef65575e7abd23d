"""`go_on`: a fitted recommender is trained further, on some rows of a larger dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from crossrec.config import from_settings
from crossrec.data.splits import Split
from crossrec.data.vocabulary import Ints
from crossrec.recommender import Recommender
from crossrec.runs import provenance
from crossrec.samplers import table as samplers
from crossrec.streams import Streams
from crossrec.train import distributed
from crossrec.train.failures import check_weights
from crossrec.train.fit import check
from crossrec.train.grown import grown
from crossrec.train.loop import Record, Trainer
from crossrec.train.settings import TrainConfig


def go_on(
    old: Recommender,
    split: Split,
    chosen: Ints,
    *,
    epochs: int,
    lr: float | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    log: Callable[[Record], None] = lambda record: None,
    command: str | None = None,
) -> Recommender:
    """The recommender after further training in all its phases; the old one is left as it is.

    A plug-in takes no part, and what validation chose among (phases with choices) stays as it was chosen. What a model counts
    rather than trains, its graph among it, is counted in all training rows.

    Args:
        old: its model has a row for everybody and everything that was there; those that are new get one.
        split: of data that begin with the old ids. The epoch is chosen on its validation part among those trained now.
        chosen: places of the training rows that steps are made on.
        epochs: at most so many, per phase.
        lr: learning rate of every phase; None: half of the phase's own (ours).
        seed: of the new rows and of the training.
        device: where to train.
        log: called with one record per epoch.
        command: how it was asked for, for the record.

    Raises InputError where the model cannot be grown, TrainingError where the loss is not a number any more.
    """
    config = from_settings(TrainConfig, old.recipe.get("train") or {})
    if config.task == "ranking":
        config = replace(config, protocol="full")
    check(old.model, split, old.model.sources)
    streams = Streams(seed, device)
    model = grown(old.model, split.data.catalogue, streams).to(device)

    def adjust(phase: TrainConfig) -> TrainConfig:
        few = min(epochs, phase.epochs)
        slower = phase.lr / 2 if lr is None else lr
        return replace(phase, lr=slower, epochs=few, first_eval=1, eval_every=1, patience=few, min_epochs=0)

    drawn = dict(old.recipe.get("sampler") or {})
    sampler = samplers.make(drawn.pop("name"), **drawn) if drawn else None
    visible = split.untested()
    warm: dict[str, Any] = {"chosen": chosen, "adjust": adjust, "choose": False}
    trainer = Trainer(model, visible, sampler, config, streams, log=log, **warm)
    model.learn(visible)
    info = trainer.run()
    model.eval()
    info |= dict(zip(("wall_seconds", "cpu_seconds"), trainer.spent(), strict=True))
    info |= {"data_hash": split.data.hash, "split_hash": split.hash, "leak": split.leak}
    info |= {"parameters": sum(each.numel() for each in model.parameters())}
    info |= provenance(command, distributed.device_name(streams.device))
    info |= {"counted": counted} if (counted := model.counted()) else {}
    recipe = {**old.recipe, "split": dict(split.spec), "data_hash": split.data.hash, "plugin": None}
    check_weights(model, "the last epoch")
    return Recommender(model, split.data, recipe, info)
