"""Where an update writes: a new version beside the others, or a folder of its own; one update of a run at a time."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossrec.data import locks
from crossrec.data.beside import folder_beside
from crossrec.errors import InputError
from crossrec.recommender import Recommender
from crossrec.runs import CONFIG, METRICS
from crossrec.serve import versions
from crossrec.serve.bundle import Bundle
from crossrec.serve.update_report import Report

UPDATE = "update"
"""Key of ``run.json`` under which an update says what it did; the names of versions begin with it."""


def keep(run: Path, out: Path | None, new: Recommender, records: list[dict[str, Any]], report: Report) -> Report:
    """Write the new run, and where no other place is named, publish it and switch to it; nothing is ever half there."""
    name = "" if out is not None else _next(run)
    folder = versions.folder_of(run, name) if out is None else out
    done = replace(report, version=name, folder=str(folder), switched=out is None)
    new.info[UPDATE] |= done.plain()
    with versions.fresh(run, name) if out is None else folder_beside(out, CONFIG) as place:
        new.save(place)
        (place / METRICS).write_text("".join(json.dumps(record) + "\n" for record in records))
        Bundle.load(place, name)
    if out is None:
        if versions.pointed(run) != report.base:
            raise InputError(
                f"{run}: another version was switched to meanwhile, so {name} is kept and not served. Update again."
            )
        versions.point(run, name)
    return done


def _next(run: Path) -> str:
    """The name of the next version that an update makes."""
    numbers = [
        int(found[1]) for path in (run / versions.VERSIONS).iterdir() if (found := _NUMBERED.fullmatch(path.name))
    ]
    return f"{UPDATE}-{1 + max(numbers, default=0)}"


_NUMBERED = re.compile(rf"{UPDATE}-(\d+)")
_LEFT = re.compile(rf"\.{UPDATE}-\d+\.\d+-[0-9a-f]{{8}}(\.old)?|\..+\.gone")


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """One update of a run at a time; what a killed one has left goes away. The lock ends with its process."""
    if not (run / CONFIG).is_file():
        raise InputError(f"{run} is not a run folder (there is no {CONFIG}).")
    place = run / versions.VERSIONS

    def refuse() -> None:
        raise InputError(f"{run}: another update of it is at work. Wait until it has ended.")

    with locks.alone(place / UPDATE, refuse):
        for left in [path for path in place.iterdir() if _LEFT.fullmatch(path.name)]:
            shutil.rmtree(left, ignore_errors=True)
        yield


def refuse_full(folder: Path) -> None:
    """Raise InputError where something is at a place that a new run is to be written to."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} is there already: give a new folder.")
