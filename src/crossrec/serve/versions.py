"""The versions of a run that can be served: where they lie, which of them is current, and that none is broken.

A run folder is served as it is, until ``RUN/versions/current`` names a folder beside it: ``RUN/versions/NAME``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crossrec.data.beside import folder_beside
from crossrec.errors import InputError
from crossrec.runs import CONFIG, DATA, INFO, WEIGHTS, read_json, write_json

VERSIONS, CURRENT, PREVIOUS, MANIFEST = "versions", "current", "previous", "bundle.json"
PARTS = (CONFIG, INFO, WEIGHTS, DATA)
"""What a version needs of a run folder."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
LONGEST = 64
"""Characters of the longest name of a version."""


def pointed(run: Path) -> str:
    """The name of the current version of a run; "" where the run folder itself is served.

    Raises:
        InputError: where the pointer holds no name of a version.
    """
    try:
        text = _text(run / VERSIONS / CURRENT)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{run / VERSIONS / CURRENT} cannot be read ({error}).") from error
    return "" if text is None else check_name(text)


def mark(run: Path) -> tuple[int, int, int] | None:
    """Something that changes whenever the pointer is written; None where there is none."""
    try:
        found = (run / VERSIONS / CURRENT).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def folder_of(run: Path, name: str) -> Path:
    """The folder of a version; "" is the run itself."""
    return run / VERSIONS / check_name(name) if name else run


def check_name(name: str) -> str:
    """The name of a version, or InputError: it never leads out of its folder."""
    if len(name) > LONGEST or not NAME.fullmatch(name) or name in (CURRENT, PREVIOUS):
        raise InputError(
            f"{name[:80]!r} names no version: letters, digits, '-', '_' and single dots, at most {LONGEST}."
        )
    return name


def publish(made: Path, run: Path, name: str, *, parts: Sequence[str] = PARTS) -> Path:
    """Copy what is served of a run folder to ``RUN/versions/NAME``, with the hash of every file; nobody is served it yet.

    Args:
        made: a finished run folder.
        run: the run that is served.
        name: of the new version, which must not be there.
        parts: files and folders of ``made`` that belong to it.

    Raises:
        InputError: for a run that is not whole, or a name that is taken.
    """
    missing = [part for part in parts if not (made / part).exists()]
    if missing:
        raise InputError(f"{made} cannot be published: there is no {missing[0]} in it.")
    with fresh(run, name) as place:
        for part in parts:
            copy = shutil.copytree if (made / part).is_dir() else shutil.copyfile
            copy(made / part, place / part)
    return folder_of(run, name)


@contextmanager
def fresh(run: Path, name: str) -> Iterator[Path]:
    """A folder to write a new version into. When the block ends well, it is ``RUN/versions/NAME``, with the hash of every
    file; when not, it goes away. Nobody is served it yet.

    Raises:
        InputError: for a name that is taken.
    """
    target = folder_of(run, check_name(name))
    if target.exists():
        raise InputError(f"{target} is there already: give the new version another name.")
    target.parent.mkdir(exist_ok=True)
    with folder_beside(target, MANIFEST) as place:
        yield place
        write_json(place / MANIFEST, {"format": 1, "files": {each: _hash(place / each) for each in _files(place)}})
        for each in [*_files(place), MANIFEST]:
            _sync(place / each)
    _sync(target.parent)


def point(run: Path, name: str) -> None:
    """Make a version the current one ("": the run folder itself); servers take it up within a second."""
    if not folder_of(run, name).is_dir():
        raise InputError(f"{folder_of(run, name)}: there is no such version.")
    place = run / VERSIONS
    place.mkdir(exist_ok=True)
    _write(place / PREVIOUS, pointed(run))
    if name:
        _write(place / CURRENT, name)
    else:
        (place / CURRENT).unlink(missing_ok=True)
    _sync(place)


def rollback(run: Path) -> str:
    """Make the version before the current one current again; its name ("": the run folder itself)."""
    name = _text(run / VERSIONS / PREVIOUS)
    if name is None:
        raise InputError(f"{run}: no version was ever switched to, so there is none to go back to.")
    point(run, name)
    return name


def prune(run: Path, keep: int) -> list[str]:
    """Remove the oldest versions, so that ``keep`` stay; names of those that went. The current one and the one to go back to
    stay whatever their age. A server that still answers by one that goes is not disturbed.

    Raises:
        InputError: for a number below 1.
    """
    if keep < 1:
        raise InputError(f"At least one version is kept; found {keep}.")
    place = run / VERSIONS
    made = {path.parent.name: path.stat().st_mtime_ns for path in place.glob(f"*/{MANIFEST}")}
    by_age = sorted((name for name in made if NAME.fullmatch(name)), key=lambda name: (made[name], name))
    held = {pointed(run), _text(place / PREVIOUS)}
    gone = [name for name in by_age[: max(0, len(by_age) - keep)] if name not in held]
    for name in gone:
        leaving = place / f".{name}.gone"
        (place / name).rename(leaving)
        shutil.rmtree(leaving)
    return gone


def verify(folder: Path) -> None:
    """Raise InputError where a published version is not whole; a run folder without a manifest has nothing to hold it to."""
    if not (folder / MANIFEST).is_file():
        return
    files = read_json(folder, MANIFEST).get("files")
    if not isinstance(files, dict):
        raise InputError(f"{folder / MANIFEST} names no files.")
    for name, told in files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing.")
        if _hash(path) != told:
            raise InputError(f"{path} is not what was published: it was cut or changed.")


def fingerprint(folder: Path) -> str:
    """12 hex digits that name config, weights and data: another model never has the same."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS, f"{DATA}/dataset.json"):
        try:
            digest.update(_hash(folder / name).encode())
        except OSError as error:
            raise InputError(f"{folder / name} cannot be read ({error.strerror or error}).") from error
    return digest.hexdigest()[:12]


def _files(place: Path) -> list[str]:
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(path: Path) -> str | None:
    """The one line of a file; None where there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text + "\n", encoding="utf-8")
    _sync(beside)
    beside.replace(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
