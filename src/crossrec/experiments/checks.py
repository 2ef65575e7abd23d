"""What must be equal for runs to be compared, and what must be said beside the figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.errors import InputError
from crossrec.evaluation.files import protocol_name
from crossrec.evaluation.kinds import RANKING, Kind
from crossrec.experiments.results import Results
from crossrec.experiments.systems import Measured

_OWN = {
    "rmse": "the root of the mean squared error of their own ratings",
    "auc": "the AUC of their own pairs",
    "gauc": "the AUC of their own pairs, and counts once whatever their number",
}
"""What is compared where a metric of all users together is no mean over users."""
_MEND = {
    "data_hash": "train all of them on one prepared folder",
    "domain": "compare runs that recommend in the same domain",
    "protocol": "evaluate all of them under one protocol",
    "part": "evaluate all of them on the same part",
    "negatives_hash": "evaluate all of them again with the same negatives",
}


def check(results: Sequence[Results], protocol: str) -> None:
    """Raises InputError, saying what differs, unless the runs ranked the same candidates of the same data.

    Under ``authors`` negatives are drawn anew at every evaluation, so there they may differ.
    """
    for field, mend in _MEND.items():
        if field == "negatives_hash" and protocol == "authors":
            continue
        if not _same(results, field):
            found = "; ".join(f"{result.folder}: {result.metadata.get(field)}" for result in results)
            raise InputError(f"These runs cannot be compared: their {field} differs ({found}). To mend it, {mend}.")
    asked, found = protocol_name(protocol), protocol_name(str(results[0].metadata.get("protocol")))
    if asked != found:
        raise InputError(f"{results[0].folder}: the results under {asked!r} say they are {found!r}. Evaluate it again.")


def warnings(results: Sequence[Results]) -> list[str]:
    """Leaks that the runs admit to, and what makes them less alike than their hashes say."""
    said: dict[str, list[str]] = {}
    for result in results:
        if leak := result.metadata.get("leak"):
            said.setdefault(str(leak), []).append(str(result.folder))
    found = [f"Leak ({', '.join(runs)}): {leak}" for leak, runs in said.items()]
    if not _same(results, "split_hash"):
        found.append("The runs were split differently: they are compared on the held-out items that all of them have.")
    if not _same(results, "negatives_hash"):
        found.append("The negatives were drawn anew for every run: differences carry that noise too.")
    ranked = [result for result in results if result.kind is RANKING]
    if len({round(float(np.mean(result.candidates_N)), 6) for result in ranked}) > 1:
        found.append("The runs ranked different numbers of candidates: the one with fewer had an easier task.")
    return found


def notes(measured: Measured, metric: str, kind: Kind) -> list[str]:
    """What was left out, and what was averaged."""
    found = [
        f"{run}: {count:,} held-out items that another run lacks are left out."
        for run, count in measured.dropped.items()
    ]
    for system in measured.systems:
        if len(system.seeds) > 1:
            seeds = ", ".join(str(seed) for seed in system.seeds)
            found.append(f"{system.name}: every user's figure is the mean over {len(system.seeds)} seeds ({seeds}).")
    if len({len(system.seeds) for system in measured.systems}) > 1:
        found.append("The systems have different numbers of seeds: more seeds make steadier figures.")
    users = measured.value_SU.shape[1]
    if metric in _OWN and kind is not RANKING:
        found.append(
            f"A user's figure is {_OWN[metric]}; their mean is not the {metric} that `crossrec evaluate` prints."
        )
    if measured.untold:
        found.append(f"{measured.untold:,} users are left out: {metric} says nothing of them.")
    if measured.items > users:
        found.append(
            f"The {users:,} users hold out {measured.items:,} items; a user counts once, with the mean over theirs, so "
            "figures may differ a little from means over items."
        )
    return found


def _same(results: Sequence[Results], field: str) -> bool:
    return len({repr(result.metadata.get(field)) for result in results}) == 1
