"""Settings: frozen dataclasses, loaded strictly. An unknown key is an error that names the nearest known one."""

from __future__ import annotations

import ast
import dataclasses
import datetime
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml

from crossrec.errors import InputError, nearest

T = TypeVar("T")


def from_settings(kind: type[T], settings: Mapping[str, Any], base: T | None = None) -> T:
    """A config of this kind from plain settings, on top of ``base``. Text is read as the field's type says.

    Raises InputError for an unknown key, or a value that is not of the field's type.
    """
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # T is a dataclass everywhere
    values = {}
    for key, value in settings.items():
        if key not in known:
            raise InputError(f"{kind.__qualname__} has no setting {key!r}.{nearest(key, known)}")
        values[key] = _convert(kind.__qualname__, key, value, hints[key])
    if base is None:
        return kind(**values)
    if not isinstance(base, kind):
        raise InputError(f"Expected a {kind.__qualname__}, got {type(base).__qualname__}.")
    replaced: T = dataclasses.replace(base, **values)  # type: ignore[type-var]  # as above
    return replaced


def fields(kind: type[Any]) -> dict[str, Any]:
    """Names and defaults of a config's fields."""
    return {field.name: field.default for field in dataclasses.fields(kind)}


def parse_assignments(assignments: typing.Iterable[str]) -> dict[str, Any]:
    """``["dim=32", "train.lr=1e-3"]`` as a mapping; values are read as YAML scalars and lists."""
    parsed: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set takes KEY=VALUE, found {text!r}.")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {key}: cannot read the value {value!r} ({error}).") from error
        parsed[key.strip()] = value.strip() if isinstance(read, datetime.date) else read
    return parsed


def route(
    settings: Mapping[str, Any], known: Mapping[str, typing.Collection[str]], prefixed: typing.Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Settings sorted by whose they are: ``part.key`` says it, a bare ``key`` must be a setting of one part alone.

    Args:
        settings: values by key, as from :func:`parse_assignments`.
        known: the keys of every part (``{"model": ["dim", ...], "train": [...]}``).
        prefixed: parts whose keys are never meant by a bare key.

    Raises InputError for a key that no part has, or that several have.
    """
    sorted_: dict[str, dict[str, Any]] = {part: {} for part in known}
    bare = {part: keys for part, keys in known.items() if part not in prefixed}
    full = {f"{part}.{key}": (part, key) for part, keys in known.items() for key in keys}
    for name, value in settings.items():
        homes = [name] if name in full else [f"{part}.{name}" for part, keys in bare.items() if name in keys]
        if not homes:
            words = full if "." in name else {key for keys in bare.values() for key in keys}
            raise InputError(f"There is no setting {name!r}.{nearest(name, words)}")
        if len(homes) > 1:
            raise InputError(f"The setting {name!r} is ambiguous: say {' or '.join(homes)}.")
        part, key = full[homes[0]]
        sorted_[part][key] = value
    return sorted_


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of a config, for people."""

    name: str
    type: str
    default: Any
    """None also where there is no default."""
    doc: str
    """The text below the field, on one line."""


def describe(kind: type[Any]) -> tuple[Setting, ...]:
    """The fields of a config with their docstrings, which are read from its source."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            docs |= _field_docs(base)
    settings = []
    for field in dataclasses.fields(kind):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        default = None if default is dataclasses.MISSING else default
        settings.append(Setting(field.name, str(field.type), default, docs.get(field.name, "")))
    return tuple(settings)


def _field_docs(kind: type[Any]) -> dict[str, str]:
    """The string below each field of one class; nothing where its source is not at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    docs = {}
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = below.value.value if isinstance(below.value, ast.Constant) else None
            docs[field.target.id] = " ".join(text.split()) if isinstance(text, str) else ""
    return docs


def _convert(owner: str, key: str, value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(f"{owner}.{key} must be one of {', '.join(map(repr, arguments))}, not {value!r}.")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        rest = [kind for kind in arguments if kind is not type(None)]
        for number, kind in enumerate(rest):
            try:
                return _convert(owner, key, value, kind)
            except InputError:
                if number == len(rest) - 1:
                    raise
    if origin is tuple and arguments[0] is str and isinstance(value, str):
        value = (value,)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(owner, key, item, arguments[0]) for item in value)
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    elif hint is Any or (
        isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    ):
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise InputError(f"{owner}.{key} must be {expected}, not {value!r}.")
