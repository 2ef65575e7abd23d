"""What this installation has: versions, devices, folders."""

from __future__ import annotations

import os
import platform
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from crossrec.runs import commit

REQUIRED = ("torch", "numpy", "scipy", "pyarrow", "safetensors", "typer", "rich", "pyyaml")
OPTIONAL = {"matplotlib": "plots", "tensorboard": "tensorboard"}
"""Packages of the extras, and the extra that brings each."""
PYTHON = (3, 11)
DATA = "CROSSREC_DATA"
"""Environment variable that names the folder of the real logs."""
_MODULES = {"pyyaml": "yaml"}


def examine(place: Path) -> dict[str, Any]:
    """What is there, ready for JSON; ``problems`` holds a sentence for everything required that is missing.

    ``place``: the folder whose write permission is looked at.
    """
    required = {name: _version(name) for name in REQUIRED}
    problems = [f"{name} is missing or broken: pip install {name}" for name, found in required.items() if not found]
    if sys.version_info < PYTHON:
        problems.append(f"Python {platform.python_version()} is too old: 3.11 or newer is needed")
    writable = os.access(place, os.W_OK)
    if not writable:
        problems.append(f"{place} cannot be written: run from another folder")
    data = data_folder()
    return {
        "crossrec": _version("crossrec"),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "required": required,
        "optional": {name: _version(name) for name in OPTIONAL},
        **_torch(required.get("torch") is not None),
        "data": None if data is None else str(data),
        "folder": str(place),
        "writable": writable,
        "problems": problems,
    }


def data_folder() -> Path | None:
    """The folder of the real logs: what ``CROSSREC_DATA`` names, else ``shared/data`` beside the checkout."""
    named = os.environ.get(DATA)
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "data"
    return folder if folder.is_dir() else None


def _version(name: str) -> str | None:
    """The version of a package that can be imported."""
    try:
        import_module(_MODULES.get(name, name))
        return metadata.version(name)
    except Exception:
        return None


def _torch(there: bool) -> dict[str, Any]:
    if not there:
        return {"threads": None, "cores": os.cpu_count(), "cuda": []}
    import torch  # noqa: PLC0415 - it may be what is missing

    devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"threads": torch.get_num_threads(), "cores": os.cpu_count(), "cuda": devices}
