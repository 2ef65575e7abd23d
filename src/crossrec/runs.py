"""The run folder: what is in it, and how it is written; nothing is ever half there.

``config.json`` (what was asked for), ``weights.safetensors``, ``data/`` (the prepared data: histories and vocabularies),
``metrics.jsonl`` (a line per epoch), ``negatives.jsonl`` (what was drawn, where it was watched), ``run.json`` (what
happened: commit, versions, hashes, times), ``results/`` (per-user ranks), ``phases/`` (how
finished phases ended), ``checkpoint/`` while training.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from crossrec.errors import InputError

CONFIG, INFO, METRICS, WEIGHTS = "config.json", "run.json", "metrics.jsonl", "weights.safetensors"
DATA, RESULTS = "data", "results"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write beside, then rename."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(value, indent=1) + "\n")
    fresh.replace(path)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a run folder. Raises InputError where the folder is no finished run."""
    path = folder / name
    if not path.is_file():
        what = "is not a run folder" if not (folder / CONFIG).is_file() else "is a run that has not finished: resume it"
        raise InputError(f"{folder} {what} (there is no {name}).")
    try:
        value: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    return value


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The records of ``metrics.jsonl``, one per epoch of every phase; none for a model that only counts."""
    path = folder / METRICS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def provenance(command: str | None, device: str) -> dict[str, Any]:
    """What a figure needs beside it: command, commit, versions, machine, and the device that computed it."""
    names = ("crossrec", "torch", "numpy", "pyarrow")
    return {
        "command": command,
        "commit": commit(),
        "versions": {name: _version(name) for name in names} | {"python": platform.python_version()},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": device,
    }


@functools.cache
def commit() -> str | None:
    """Commit of the checkout that crossrec runs from, with ``+`` where it has changes; None where there is none."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", here, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(here))
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
