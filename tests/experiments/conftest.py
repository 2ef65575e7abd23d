"""Small run folders as training and evaluation leave them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a run folder: ``make_run("name", rank=[...])``; other metadata, columns and settings by keyword."""

    def make(
        name: str,
        rank: Sequence[float],
        users: Sequence[Any] | None = None,
        items: Sequence[Any] | None = None,
        candidates: int = 100,
        history: dict[str, Sequence[int]] | None = None,
        run: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        curve: Sequence[dict[str, Any]] = (),
        **metadata: Any,
    ) -> Path:
        folder = tmp_path / name
        said = {
            "domain": "games",
            "protocol": "full",
            "part": "test",
            "model": "sasrec",
            "data_hash": "d1",
            "split_hash": "s1",
            "negatives_hash": None,
            "seed": 1,
            "run": folder.name,
            "leak": None,
        } | metadata
        columns: dict[str, Any] = {
            "user_id": [f"u{n}" for n in range(len(rank))] if users is None else users,
            "item_id": [f"i{n}" for n in range(len(rank))] if items is None else items,
            "rank": pa.array(rank, pa.float64()),
            "candidates": pa.array([candidates] * len(rank), pa.int64()),
        }
        columns |= {f"history_{domain}": pa.array(counts, pa.int64()) for domain, counts in (history or {}).items()}
        table = pa.table(columns).replace_schema_metadata({b"crossrec": json.dumps(said).encode()})
        (folder / "results").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "results" / f"{said['protocol'].replace(':', '-')}.parquet")
        recipe = {
            "model": said["model"],
            "target": said["domain"],
            "sources": [],
            "preset": "default",
            "seed": said["seed"],
        }
        (folder / "config.json").write_text(json.dumps(recipe | (config or {})))
        (folder / "run.json").write_text(json.dumps({"data_hash": said["data_hash"]} | (run or {})))
        if curve:
            (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, curve)) + "\n")
        return folder

    return make
