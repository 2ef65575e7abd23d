"""The quality of negatives while a model is trained: ``fit`` with a watched sampler, and the records of what it drew."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crossrec.config import fields
from crossrec.data.beside import file_beside
from crossrec.data.splits import Split
from crossrec.errors import InputError
from crossrec.experiments.quality import NEGATIVES, read_negatives
from crossrec.experiments.watched import Sums, Truth, Watch, Watched
from crossrec.models.base import Model
from crossrec.recommender import Recommender
from crossrec.runs import read_metrics
from crossrec.samplers.base import Sampler
from crossrec.train.assemble import Asked, for_split
from crossrec.train.fit import fit
from crossrec.train.loop import Record
from crossrec.train.settings import TrainConfig


def watch_negatives(
    model: str | Model | type[Model],
    split: Split,
    *,
    sampler: str | Sampler | type[Sampler] | None = None,
    preset: str = "default",
    out: str | Path | None = None,
    truth: Truth | None = None,
    log: Callable[[Record], None] | None = None,
    model_settings: Mapping[str, Any] | None = None,
    sampler_settings: Mapping[str, Any] | None = None,
    **fitted: Any,
) -> tuple[Recommender, list[Record]]:
    """Train as ``fit`` does, to the same weights, and record what the run's sampler draws.

    A record is of an epoch and a domain. ``hard_share`` of the negatives were chosen rather than drawn (``Negatives.hard``).
    Of those that were ``drawn``, and of those that are ``hard``, it says

    * how many ``negatives`` there were, a shared one counted for every query;
    * ``later_clicked``: the share that the query's user has among the events outside the training rows: false negatives;
      what it would be (``expected``) of uniform draws from all that the user has not in training; their ratio (``lift``);
    * ``rank``: the mean rank under the model among the items of the domain, 0 the best, 1 the worst, of some queries;
    * with a ``truth``, of the same queries: the share among the user's 1 % most wanted items (``true_top``), and how much
      they are wanted (``true_affinity``; 1 is the mean over the domain).

    Negatives that are no items (vectors) have a rank alone. A phase that names a sampler of its own is not watched, nor
    is one that is taken over from another run. Under several processes it is the first one's part that is recorded.

    Args:
        model, split, sampler, preset, log, model_settings, sampler_settings, fitted: As ``fit`` takes them.
        out: Run folder; the records are written there too (``negatives.jsonl``), and a resumed run goes on with them.
        truth: What users truly want, where it is known. Training never sees it, nor what is held out.

    Raises InputError as ``fit`` does, and where the loss draws no negatives.
    """
    own, given = dict(model_settings or {}), dict(sampler_settings or {})
    known = set(fields(TrainConfig))
    train = for_split(split.spec, {key: value for key, value in fitted.items() if key in known})
    asked = Asked(model, sampler, fitted.get("plugin"), preset, {"train": train, "model": own, "sampler": given})
    made = asked.assemble().sampler
    if made is None:
        raise InputError("This loss draws no negatives: there is nothing to watch.")
    watch = Watch(split, truth)
    recorder = Recorder(watch, None if out is None else Path(out))

    def both(record: Record) -> None:
        recorder.log(record)
        if log is not None:
            log(record)

    watched = Watched(made, watch)
    recommender = fit(model, split, sampler=watched, preset=preset, out=out, log=both, model_settings=own, **fitted)
    return recommender, recorder.records if out is None else read_negatives(Path(out))


class Recorder:
    """Makes the records of an epoch, and writes them where there is a run folder."""

    def __init__(self, watch: Watch, folder: Path | None = None) -> None:
        self.watch, self.folder = watch, folder
        self.records: list[Record] = []
        self.number: int | None = None
        """Training records so far, those of before a resume counted: what a resumed run cuts the file back by."""

    def log(self, record: Record) -> None:
        """The training record of an epoch, which ``fit`` has written: now the epoch's negatives are all counted."""
        if self.number is None:
            self.number = self._earlier()
        self.number += 1
        at = {"record": self.number, "phase": record["phase"], "epoch": record["epoch"]}
        counted = {domain: kinds for domain, kinds in self.watch.sums.items() if kinds["drawn"]}
        fresh = [{**at, "domain": domain, **_summary(kinds)} for domain, kinds in counted.items()]
        self.watch.sums = {}
        self.records += fresh
        if self.folder is not None:
            with (self.folder / NEGATIVES).open("a", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(line)}\n" for line in fresh)

    def _earlier(self) -> int:
        """Records before the one that was just written; the file is cut back to theirs."""
        if self.folder is None:
            return 0
        number = len(read_metrics(self.folder)) - 1
        kept = [line for line in read_negatives(self.folder) if line["record"] <= number]
        with file_beside(self.folder / NEGATIVES, "the record of the negatives") as place:
            place.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
        return number


def _summary(kinds: Mapping[str, Sums]) -> Record:
    shares = _ratio(kinds["hard"]["negatives"], sum(sums["negatives"] for sums in kinds.values()))
    return {"hard_share": shares, **{kind: _means(sums) for kind, sums in kinds.items()}}


def _means(sums: Sums) -> Record | None:
    if not sums["negatives"]:
        return None
    found: Record = {
        "negatives": int(sums["negatives"]),
        "later_clicked": _ratio(sums["later"], sums["named"]),
        "expected": _ratio(sums["expected"], sums["named"]),
        "lift": _ratio(sums["later"], sums["expected"]),
        "rank": _ratio(sums["rank"], sums["ranked"]),
    }
    if sums["judged"]:
        found |= {"true_top": sums["top"] / sums["judged"], "true_affinity": sums["affinity"] / sums["judged"]}
    return found


def _ratio(value: float, count: float) -> float | None:
    return value / count if count else None
