"""Settings: read strictly, routed to whose they are, described from their source."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from crossrec.config import Setting, describe, from_settings, parse_assignments, route
from crossrec.errors import InputError


@dataclass(frozen=True)
class Base:
    """A config."""

    dim: int = 64
    """Width
    of states."""
    rate: float | None = None
    """Share."""


@dataclass(frozen=True)
class Config(Base):
    """One that inherits."""

    dim: int = 32
    """Width here."""
    names: tuple[str, ...] = field(default_factory=lambda: ("a",))
    bare: bool = False
    x = 3
    """This belongs to no field."""


def test_describe_reads_the_docstrings_below_the_fields():
    assert describe(Base) == (
        Setting("dim", "int", 64, "Width of states."),
        Setting("rate", "float | None", None, "Share."),
    )
    assert [(one.name, one.default, one.doc) for one in describe(Config)] == [
        ("dim", 32, "Width here."),
        ("rate", None, "Share."),
        ("names", ("a",), ""),
        ("bare", False, ""),
    ]


def test_assignments_are_read_as_yaml_but_dates_stay_text():
    read = parse_assignments(
        ["dim=32", "lr=1e-3", "names=[a, b]", "since=2014-07-23", "clip=null", "flag=true", "a=b=c"]
    )
    assert read == {
        "dim": 32,
        "lr": "1e-3",
        "names": ["a", "b"],
        "since": "2014-07-23",
        "clip": None,
        "flag": True,
        "a": "b=c",
    }
    assert from_settings(Config, {"rate": read["lr"], "names": read["names"]}) == Config(rate=0.001, names=("a", "b"))


@pytest.mark.parametrize("text", ["dim", "=3", "dim=[1"])
def test_assignments_that_cannot_be_read(text):
    with pytest.raises(InputError, match="--set"):
        parse_assignments([text])


KNOWN = {"model": ["dim", "dropout"], "train": ["lr", "dropout"]}


def test_route():
    assert route({"dim": 1, "train.dropout": 2, "lr": 3}, KNOWN) == {
        "model": {"dim": 1},
        "train": {"dropout": 2, "lr": 3},
    }


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("dropout", "say model.dropout or train.dropout"),
        ("dimm", "Did you mean 'dim'?"),
        ("modle.dim", "Did you mean 'model.dim'?"),
        ("train.dim", "Did you mean 'train"),
    ],
)
def test_route_names_the_nearest(key, said):
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        route({key: 1}, KNOWN)


def test_unknown_setting_of_a_config():
    with pytest.raises(InputError, match="Did you mean 'rate'"):
        from_settings(Config, {"rat": 1})
