"""Folders and files written beside their target and renamed: nothing is ever left half-written."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crossrec.errors import DataError, InputError


def refuse_foreign(target: Path, mark: str) -> None:
    """A target that holds something else than an earlier result must not be replaced.

    Args:
        target: The folder to be written.
        mark: The file by which an earlier result is known.
    """
    if target.is_dir() and ((target / mark).is_file() or not any(target.iterdir())):
        return
    if target.exists() or target.is_symlink():
        raise DataError(
            f"{target}: there is something else at this place (no {mark} in it). "
            "Give a new folder, or empty this one first."
        )


@contextmanager
def folder_beside(target: Path, mark: str) -> Iterator[Path]:
    """A new folder to write into; it takes the place of the target when the block ends well, and goes away when not.

    Raises:
        DataError: if the target is something else, or the disk is full or closed to this user.
    """
    refuse_foreign(target, mark)
    beside = target.parent / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        beside.mkdir(parents=True)
        yield beside
        _replace(target, beside)
    except OSError as error:
        raise DataError(f"{target}: {_said(error, target)} Nothing was changed at this place.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def file_beside(target: Path, what: str) -> Iterator[Path]:
    """A place to write a file to; it takes the place of the target when the block ends well, and goes away when not.

    Args:
        target: Where the file is to be; its folder is made if need be.
        what: What it is, for the error: "the plot".

    Raises:
        InputError: if it cannot be written.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(target)
    except OSError as error:
        raise InputError(f"{target}: {what} cannot be written ({error.strerror}). Give another place.") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def _replace(target: Path, beside: Path) -> None:
    """Renames the old away, the new in, and only then removes the old."""
    if not target.exists():
        beside.rename(target)
        return
    old = beside.with_name(f"{beside.name}.old")
    target.rename(old)
    try:
        beside.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _said(error: OSError, target: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(next(folder for folder in target.absolute().parents if folder.is_dir())).free
        return f"the disk is full ({free / 2**20:,.0f} MiB free there): make room or give another place."
    return f"it cannot be written ({error.strerror or error}): mend that or give another place."
