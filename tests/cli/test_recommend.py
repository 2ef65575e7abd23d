"""crossrec recommend and export."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from crossrec.data.dataset import Dataset
from crossrec.recommender import Recommender


@pytest.fixture(scope="module")
def people(prepared):
    """Five known users."""
    return Dataset.load(prepared).users.ids(np.arange(5)).to_pylist()


def test_one_known_user(crossrec, run, people):
    told = crossrec("recommend", run, "--domain", "toys", "--user", people[0], "-k", 4, "--json").json()
    expected = Recommender.load(run).recommend(people[:1], domain="toys", k=4).to_pylist()
    assert told["recommendations"][0]["user"] == people[0]
    assert [item["item"] for item in told["recommendations"][0]["items"]] == [row["item"] for row in expected]
    assert (told["users"], told["rows"], told["domain"]) == (1, 4, "toys")


def test_for_people(crossrec, run, people):
    outcome = crossrec("recommend", run, "--user", people[0], "--user", people[1], "-k", 2)
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["user", "rank", "item", "score", "title"]
    assert len(lines) == 5
    assert "(interest" in lines[1]


@pytest.mark.parametrize("name", ["ids.txt", "ids.csv", "ids.parquet"])
def test_users_from_a_file(crossrec, run, people, tmp_path, name):
    path = tmp_path / name
    table = pa.table({"user_id": [*people, people[0]]})
    if name.endswith("txt"):
        path.write_text("\n".join(people) + "\n\n")
    elif name.endswith("csv"):
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    told = crossrec("recommend", run, "--users", path, "-k", 1, "--json").json()
    assert [one["user"] for one in told["recommendations"]] == people


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_out_by_suffix(crossrec, run, people, tmp_path, suffix):
    out = tmp_path / f"found{suffix}"
    told = crossrec("recommend", run, "--user", people[0], "-k", 3, "--out", out, "--json").json()
    assert (told["out"], told["rows"]) == (str(out), 3)
    expected = Recommender.load(run).recommend(people[0], k=3)
    if suffix == ".parquet":
        found = pq.read_table(out)
    elif suffix == ".csv":
        found = pacsv.read_csv(out)
    else:
        found = pa.Table.from_pylist([json.loads(line) for line in out.read_text().splitlines()])
    assert found["item"].to_pylist() == expected["item"].to_pylist()
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name]


def test_strangers(crossrec, run, tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"games": ["games-00001", "unheard of"]}\n\n{"toys": ["toys-00001"], "games": []}\n')
    outcome = crossrec("recommend", run, "--history", path, "-k", 2, "--json")
    assert [one["user"] for one in outcome.json()["recommendations"]] == [0, 1]
    assert "unknown to the run were passed over: 1." in outcome.err


def test_seen_allow_and_deny(crossrec, run, people, tmp_path):
    items = tmp_path / "items.txt"
    count = len(Dataset.load(run / "data").items["toys"])

    def best(*words: object) -> list[str]:
        told = crossrec("recommend", run, "--user", people[0], "-k", 200, *words, "--json").json()
        return [item["item"] for item in told["recommendations"][0]["items"]]

    unseen, everything = best(), best("--keep-seen")
    assert len(everything) == count
    assert 0 < len(set(everything) - set(unseen)) < count
    items.write_text("\n".join(unseen[:3]))
    assert best("--allow", items) == unseen[:3]
    assert best("--deny", items) == unseen[3:]


def test_unknown_ids_and_domains(crossrec, run, people, tmp_path):
    nobody = crossrec("recommend", run, "--user", "nobody")
    assert (nobody.code, nobody.out) == (2, "")
    assert "Unknown user 'nobody'" in nobody.err
    assert "--history" in nobody.err
    assert "Did you mean 'toys'?" in crossrec("recommend", run, "--user", people[0], "--domain", "toyz").err
    assert "--target games" in crossrec("recommend", run, "--user", people[0], "--domain", "games").err
    (tmp_path / "deny.txt").write_text("nothing\n")
    denied = crossrec("recommend", run, "--user", people[0], "--deny", tmp_path / "deny.txt")
    assert denied.code == 2
    assert "Unknown item 'nothing'" in denied.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{oops\n", "line 1: this is not JSON"),
        ('{"games": ["a"]}\n["a"]\n', "line 2: found"),
        ('{"games": "a"}\n', "line 1: found"),
        ("\n", "holds no history"),
        ('{"gamez": ["a"]}\n', "Did you mean 'games'?"),
    ],
)
def test_history_files_that_cannot_be_used(crossrec, run, tmp_path, text, said):
    path = tmp_path / "history.jsonl"
    path.write_text(text)
    outcome = crossrec("recommend", run, "--history", path)
    assert outcome.code == 2
    assert said in outcome.err


def test_for_whom_and_where_to(crossrec, run, people, tmp_path):
    assert "Say for whom" in crossrec("recommend", run).err
    assert "Say for whom" in crossrec("recommend", run, "--user", people[0], "--history", "x").err
    assert "there is no such file" in crossrec("recommend", run, "--users", tmp_path / "none.txt").err
    assert "none of .parquet" in crossrec("recommend", run, "--user", people[0], "--out", tmp_path / "a.xls").err
    assert (
        "there is no folder" in crossrec("recommend", run, "--user", people[0], "--out", tmp_path / "b" / "a.csv").err
    )
    pq.write_table(pa.table({"who": ["a"]}), tmp_path / "who.parquet")
    assert "Columns found: who" in crossrec("recommend", run, "--users", tmp_path / "who.parquet").err


def test_export_vectors_are_the_scores(crossrec, run, people, tmp_path):
    out = tmp_path / "vectors"
    told = crossrec("export", run, "--to", "vectors", "--out", out, "--json").json()
    items, users = pq.read_table(out / "items-toys.parquet"), pq.read_table(out / "users.parquet")
    assert told["files"] == {"items-toys.parquet": items.num_rows, "users.parquet": users.num_rows}
    user_UD, item_VD = (np.stack(table["vector"].to_numpy()) for table in (users, items))
    assert user_UD.shape[1] == told["dim"] == 8
    at = [users["id"].to_pylist().index(user) for user in people]
    expected = Recommender.load(run).score(people, items["id"].to_pylist())
    np.testing.assert_allclose(user_UD[at] @ item_VD.T, expected, atol=1e-4)
    assert json.loads((out / "vectors.json").read_text())["dim"] == 8


def test_export_refuses(crossrec, run, tmp_path):
    assert "Did you mean 'vectors'?" in crossrec("export", run, "--to", "vector", "--out", tmp_path / "v").err
    (tmp_path / "mine.txt").write_text("keep me")
    outcome = crossrec("export", run, "--to", "vectors", "--out", tmp_path)
    assert outcome.code == 2
    assert (tmp_path / "mine.txt").read_text() == "keep me"
