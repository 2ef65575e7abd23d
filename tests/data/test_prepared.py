"""The prepared folder: what goes in comes out, and nothing is ever left half-written."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data import prepared
from crossrec.data.dataset import Dataset
from crossrec.errors import DataError


def frame(users: list[str], **columns: Any) -> pa.Table:
    return pa.table({"user_id": users, "item_id": [f"i{n % 3}" for n in range(len(users))], **columns})


@pytest.fixture
def data() -> Dataset:
    frames = {
        "toys": frame(list("uvuw"), t=[3, 1, 2, 5], r=[1.0, 2.0, 3.0, 4.0]),
        "a/b c": frame(list("ux"), t=[9, 8], r=[5.0, 1.0]),
        "a?b c": frame(list("v"), t=[4], r=[2.0]),
    }
    items = {"item_id": ["i0", "i1"], "title": ["Null", "One"], "category": ["x", None]}
    return Dataset.from_frames(frames, time="t", rating="r", items=items)


def same(a: Dataset, b: Dataset) -> None:
    """Everything that a dataset holds is equal."""
    assert a.domains == b.domains
    for name in a.domains:
        assert a.items[name].text.equals(b.items[name].text)
        assert a.items[name].kind == b.items[name].kind
        assert (name in a.titles) == (name in b.titles)
        if name in a.titles:
            assert a.titles[name].to_pydict() == b.titles[name].to_pydict()
    assert a.users.text.equals(b.users.text)
    assert a.users.kind == b.users.kind
    for one, other in (
        (a.offset_U1, b.offset_U1),
        (a.item_E, b.item_E),
        (a.time_E, b.time_E),
        (a.rating_E, b.rating_E),
    ):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    assert a.card == b.card
    assert a.hash == b.hash


def test_saved_is_loaded(tmp_path: Path, data: Dataset) -> None:
    data.save(tmp_path / "out")
    loaded = Dataset.load(tmp_path / "out", verify=True)
    same(data, loaded)
    assert isinstance(loaded.item_E, np.memmap)
    assert loaded.folder == tmp_path / "out"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names[:2] == ["dataset.json", "item.npy"]
    assert {"items-toys.arrow", "items-a_b_c.arrow", "users.arrow", "titles-toys.arrow"} <= set(names)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


rows = st.lists(
    st.tuples(st.text("abé ", min_size=1).filter(str.strip), st.integers(-5, 5), st.integers(0, 9)), min_size=1
)


@settings(max_examples=25, deadline=None)
@given(logs=st.dictionaries(st.text("xY/.-", min_size=1), rows, min_size=1, max_size=3), timed=st.booleans())
def test_whatever_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, logs: dict[str, Any], timed: bool
) -> None:
    frames = {
        name: pa.table(dict(zip(("user_id", "item_id", "t"), map(list, zip(*log, strict=True)), strict=True)))
        for name, log in logs.items()
    }
    data = Dataset.from_frames(frames, time="t" if timed else None, order="time" if timed else "file")
    place = tmp_path_factory.mktemp("any") / "out"
    data.save(place)
    same(data, Dataset.load(place, verify=True))


def test_a_prepared_folder_is_replaced(tmp_path: Path, data: Dataset) -> None:
    old = Dataset.from_frames({"toys": frame(["z"])})
    old.save(tmp_path / "out")
    mapped = Dataset.load(tmp_path / "out")
    data.save(tmp_path / "out")
    assert Dataset.load(tmp_path / "out", verify=True).hash == data.hash
    assert mapped.item_E.tolist() == old.item_E.tolist()
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_an_empty_folder_is_taken_and_parents_are_made(tmp_path: Path, data: Dataset) -> None:
    (tmp_path / "out").mkdir()
    data.save(tmp_path / "out")
    data.save(tmp_path / "new" / "deep" / "out")
    assert Dataset.load(tmp_path / "new" / "deep" / "out").hash == data.hash


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_something_else_is_not_replaced(tmp_path: Path, data: Dataset, kind: str) -> None:
    target = tmp_path / "out"
    mine = target / "thesis.tex" if kind == "folder" else target
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("years of work")
    with pytest.raises(DataError, match=r"something else at this place.*Give a new folder"):
        data.save(target)
    assert mine.read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("writer", ["_write_array", "_write_table"])
@pytest.mark.parametrize("existing", [False, True])
def test_disk_full(
    tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch, number: int, writer: str, existing: bool
) -> None:
    target = tmp_path / "out"
    before = Dataset.from_frames({"toys": frame(["z"])})
    if existing:
        before.save(target)
    write = getattr(prepared, writer)
    calls = []

    def full(path: Path, content: Any) -> None:
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half")
            raise OSError(number, "the disk says no")
        write(path, content)

    monkeypatch.setattr(prepared, writer, full)
    said = "the disk is full.*make room" if number == errno.ENOSPC else "cannot be written.*the disk says no"
    with pytest.raises(DataError, match=f"{said}.*Nothing was changed"):
        data.save(target)
    assert len(calls) == 3
    if existing:
        same(before, Dataset.load(target, verify=True))
    assert list(tmp_path.iterdir()) == ([target] if existing else [])


def test_an_error_of_ours_cleans_up_too(tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, content: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(prepared, "_write_table", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        data.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rename_puts_the_old_back(tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    before = Dataset.from_frames({"toys": frame(["z"])})
    before.save(target)
    rename = Path.rename

    def refuse(self: Path, to: Path) -> Path:
        if to == target and not self.name.endswith(".old"):
            raise OSError(errno.EIO, "no")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(DataError, match="cannot be written"):
        data.save(target)
    same(before, Dataset.load(target, verify=True))
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_no_prepared_folder(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"not a prepared folder.*crossrec prepare"):
            Dataset.load(place)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset.json: it cannot be read"):
        Dataset.load(tmp_path)


def test_another_format_number(tmp_path: Path, data: Dataset) -> None:
    header = data.save(tmp_path / "out") / "dataset.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "format": 99}))
    with pytest.raises(DataError, match=r"found format 99 where this crossrec reads format 1. Prepare the logs again"):
        Dataset.load(tmp_path / "out")


@pytest.mark.parametrize("name", ["item.npy", "time.npy", "users.arrow", "items-toys.arrow"])
def test_files_that_are_cut_or_gone(tmp_path: Path, data: Dataset, name: str) -> None:
    path = data.save(tmp_path / "out") / name
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=rf"{name}: found .* bytes where .* were prepared"):
        Dataset.load(tmp_path / "out")
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}: .* is missing"):
        Dataset.load(tmp_path / "out")


@pytest.mark.parametrize("name", ["item.npy", "users.arrow"])
def test_files_of_the_right_size_and_wrong_content(tmp_path: Path, data: Dataset, name: str) -> None:
    path = data.save(tmp_path / "out") / name
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(DataError, match=rf"{name}: it cannot be read"):
        Dataset.load(tmp_path / "out")


def test_verify_finds_a_changed_value(tmp_path: Path, data: Dataset) -> None:
    path = data.save(tmp_path / "out") / "rating.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert Dataset.load(tmp_path / "out").hash == data.hash
    with pytest.raises(DataError, match=r"is not what was prepared"):
        Dataset.load(tmp_path / "out", verify=True)


def test_files_that_do_not_fit_each_other(tmp_path: Path, data: Dataset) -> None:
    place = data.save(tmp_path / "out")
    header = json.loads((place / "dataset.json").read_text())
    (place / "dataset.json").write_text(json.dumps({**header, "interactions": header["interactions"] + 1}))
    with pytest.raises(DataError, match="do not fit each other"):
        Dataset.load(place)


@pytest.mark.real
def test_real_logs_come_back(real_data: Path, tmp_path: Path) -> None:
    data = Dataset.from_folder(real_data / "amazon-toy-game")
    data.save(tmp_path / "out")
    same(data, Dataset.load(tmp_path / "out", verify=True))
