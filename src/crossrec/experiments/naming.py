"""Short names for runs, each of them different."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def name_groups(groups: Sequence[Sequence[Path]]) -> list[str]:
    """The folder's name of one run, what their names share of several seeds; longer or numbered where two are alike."""
    names = [_shared(members) for members in groups]
    twice = {name for name, count in Counter(names).items() if count > 1}
    for number, members in enumerate(groups):
        if names[number] in twice:
            names[number] = f"{Path(members[0]).resolve().parent.name}/{names[number]}"
    seen: Counter[str] = Counter()
    for number, name in enumerate(names):
        seen[name] += 1
        names[number] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names


def _shared(members: Sequence[Path]) -> str:
    paths = [Path(member).resolve() for member in members]
    if len(paths) == 1:
        return paths[0].name
    name = os.path.commonprefix([path.name for path in paths])  # noqa: RUF071 - characters are meant, not folders
    name = re.sub(r"[-_. ]*seed[-_. =]*\d*$|[-_. ]+s?[-_. =]*\d*$", "", name)
    parents = {path.parent.name for path in paths}
    return name or (parents.pop() if len(parents) == 1 else paths[0].name)
