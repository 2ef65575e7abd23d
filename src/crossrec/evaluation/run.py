"""Evaluate a run folder: its split is made again from what the run recorded, and the per-user results are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from crossrec.data import splits
from crossrec.data.splits import AuthorsLeaveLastOut, Events, Part, Split
from crossrec.data.vocabulary import Ints
from crossrec.errors import InputError
from crossrec.evaluation.evaluate import evaluate, save_results
from crossrec.evaluation.outcome import Outcome
from crossrec.evaluation.protocols import kind_of
from crossrec.evaluation.ratings import Ratings
from crossrec.evaluation.tasks import scale_of
from crossrec.recommender import Recommender

AUTHORS = "authors"
"""Name of both the protocol and the split."""
PartName = Literal["test", "valid"]


def targets(recommender: Recommender) -> tuple[str, ...]:
    """The domains that a run was validated and is tested in, its own target first."""
    return (recommender.target, *recommender.recipe["split"].get("also", ()))


def evaluate_run(
    run: str | Path,
    protocol: str = "full",
    part: PartName = "test",
    recommender: Recommender | None = None,
    target: str | None = None,
) -> Outcome:
    """Measure the held-out items of a run. Results on the test part are saved into the run folder.

    ``recommender``: the run, where it is loaded already. ``target``: which of the run's targets; None: its own. Raises
    InputError where the folder is no finished run, and for a domain that is no target of it.
    """
    recommender = recommender or Recommender.load(run)
    kind_of(protocol)
    split = split_of(recommender)
    outcome = evaluate(recommender, _part(split, recommender, protocol, part, target), protocol)
    if isinstance(outcome, Ratings):
        outcome = outcome.beside(split, scale_of(recommender.recipe))
    if part == "test":
        save_results(outcome, recommender, run)
    return outcome


def held_out(
    recommender: Recommender, protocol: str = "full", part: PartName = "test", target: str | None = None
) -> Part:
    """A part of the split that the run was trained under, of one of its targets (None: the run's own).

    Under the protocol ``authors`` a run of another split is asked about the authors' users and held-out items instead,
    and the part says so in ``leak``. Raises InputError where the split cannot be made again as it was.
    """
    kind_of(protocol)
    return _part(split_of(recommender), recommender, protocol, part, target)


def split_of(recommender: Recommender) -> Split:
    """The split that a run was trained under. Raises InputError where it cannot be made again as it was."""
    split = splits.apply(recommender.recipe["split"], recommender.data)
    recorded = recommender.info.get("split_hash")
    if recorded is not None and recorded != split.hash:
        raise InputError(
            f"The split made again ({split.hash}) is not the one that the run was trained under ({recorded}): its data "
            "was changed, or another version of crossrec made it. Train the run again."
        )
    return split


def _part(split: Split, recommender: Recommender, protocol: str, part: PartName, target: str | None) -> Part:
    name = split.target if target is None else target
    held = split.held(name)
    if protocol != AUTHORS or split.spec["split"] == AUTHORS:
        return held.valid if part == "valid" else held.test
    if part == "valid":
        raise InputError("The authors' protocol chooses checkpoints on its test events: there is no validation part.")
    chosen = AuthorsLeaveLastOut(name).apply(recommender.data).test
    return replace(chosen, leak=_said(split, chosen))


def num_trained_on(split: Split, part: Part) -> int:
    """How many held-out events of a part, of any split of the same data, are among a split's training events."""
    size = split.events.catalogue.num_ids
    inside_E = np.zeros(len(split.events.item_E) + 1, dtype=np.int64)
    np.add.at(inside_E, split.train.start_N, 1)
    np.add.at(inside_E, split.train.stop_N, -1)
    key_E = _keys(split.events, split.data.offset_U1, size)
    key_N = part.user_N * size + part.item_N
    times, trained = _count(key_E, key_N), _count(key_E[np.cumsum(inside_E)[:-1] > 0], key_N)
    return int((trained == times).sum())


def _keys(events: Events, offset_U1: Ints, size: int) -> Ints:
    user_E = np.repeat(np.arange(len(offset_U1) - 1), np.diff(offset_U1))
    return np.asarray(user_E * size + events.item_E, dtype=np.int64)


def _count(key_E: Ints, key_N: Ints) -> Ints:
    """How often each of the wanted keys occurs."""
    sorted_E = np.sort(key_E)
    return np.asarray(np.searchsorted(sorted_E, key_N, "right") - np.searchsorted(sorted_E, key_N, "left"))


def _said(split: Split, part: Part) -> str:
    trained = num_trained_on(split, part)
    known = f"{trained:,} of the {len(part):,} test events were" if trained else "none of the test events was"
    return (
        "Authors' protocol (their users, their negatives, ties as published) on a run of the split "
        f"{split.spec['split']!r}: {known} trained on; the checkpoint was chosen on that split's own validation part."
    )
