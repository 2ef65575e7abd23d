"""When training stops, and which epoch's weights it ends with: validation alone decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch

from crossrec.errors import InputError
from crossrec.evaluation.protocols import Ranking
from crossrec.models.sasrec import SASRec
from crossrec.train.fit import fit
from crossrec.train.progress import Progress
from crossrec.train.settings import TrainConfig


def run(values: Sequence[float], **settings: int) -> tuple[Progress, list[int]]:
    """Feed a progress one value per validation; how it ends, and the epochs that were validated."""
    config = TrainConfig(**{"epochs": len(values), "first_eval": 1, "eval_every": 1, "min_epochs": 0, **settings})
    progress, validated = Progress(), []
    while progress.epoch < config.epochs and not progress.finished:
        progress.epoch += 1
        if progress.is_due(config):
            validated.append(progress.epoch)
            progress.validated(values[progress.epoch - 1], config)
    return progress, validated


def test_patience_counts_validations_without_a_better_one():
    progress, validated = run([0.1, 0.3, 0.2, 0.2, 0.2, 0.9], patience=3)
    assert (progress.best_epoch, progress.epoch, progress.finished) == (2, 5, True)
    assert validated == [1, 2, 3, 4, 5]


def test_an_equal_value_counts_as_better():
    assert run([0.3, 0.3, 0.1, 0.3, 0.1], patience=2)[0].best_epoch == 4


def test_patience_starts_anew_at_a_better_one():
    assert run([0.1, 0.0, 0.2, 0.1, 0.3, 0.0, 0.0], patience=2)[0].best_epoch == 5


def test_never_before_min_epochs():
    progress, _ = run([0.5, 0.1, 0.1, 0.1, 0.1, 0.1], patience=1, min_epochs=4)
    assert (progress.epoch, progress.best_epoch) == (4, 1)


def test_validations_begin_and_repeat_as_asked_and_the_last_epoch_has_one():
    assert run([0.1] * 10, first_eval=3, eval_every=3)[1] == [3, 6, 9, 10]


def test_a_value_that_is_no_number_is_not_better():
    progress, _ = run([0.2, float("nan"), float("nan"), 0.1], patience=2)
    assert (progress.best_epoch, progress.epoch) == (1, 3)


def test_the_run_ends_with_the_weights_of_its_best_epoch(split, tiny, monkeypatch):
    values = iter([0.1, 0.4, 0.3, 0.2, 0.9])
    model, seen = SASRec(dim=8, blocks=1), []

    monkeypatch.setattr(Ranking, "value", lambda ranking, metric: next(values))
    settings = {key: tiny[key] for key in ("seed", "negatives", "batch", "first_eval", "eval_every")}
    fitted = fit(
        model, split, epochs=9, patience=2, log=lambda _: seen.append(model.table.weight.detach().clone()), **settings
    )
    assert len(seen) == 4
    assert torch.equal(fitted.model.table.weight, seen[1])
    assert not torch.equal(seen[1], seen[3])
    assert (fitted.info["best_epoch"], fitted.info["epochs"]) == (2, 4)


def test_the_test_part_is_out_of_reach_of_training(split, tiny, trained_on):
    """What trains gets no test instance; and other test instances change nothing."""
    other = dataclasses.replace(split, test=split.test.take([2, 0, 1]))
    weights = [fit("sasrec", each, **tiny).model.state_dict() for each in (split, other)]
    assert [len(each.test) for each in trained_on] == [0, 0]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("wrong", [{"metric": "ndgc@10"}, {"protocol": "sampled"}])
def test_an_unknown_metric_or_protocol_is_said_before_training(split, tiny, wrong):
    seen = []
    with pytest.raises(InputError, match="There is no"):
        fit("sasrec", split, log=seen.append, **tiny, **wrong)
    assert not seen
