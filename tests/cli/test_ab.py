"""crossrec ab."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from crossrec.serve.arms import Experiment
from crossrec.serve.events import Event, Exposure
from crossrec.serve.store import open_store


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two arms of 400 users over two days; the new one has a third more clicks."""
    rng = np.random.default_rng(1)
    user, day = np.arange(800).repeat(2), np.tile([1, 2], 800)
    views = rng.integers(1, 5, 1600)
    clicks = rng.binomial(views * 10, np.where(user < 400, 0.03, 0.04))
    arms = np.where(user < 400, "control", "new")
    table = {"user": user, "arm": arms, "day": day, "impressions": 10 * views, "page_views": views, "clicks": clicks}
    path = tmp_path_factory.mktemp("ab") / "days.csv"
    pacsv.write_csv(pa.table(table), path)
    pq.write_table(pa.table({**table, "experiment": ["e"] * 1600}), path.with_suffix(".parquet"))
    return path


def test_lifts_and_their_intervals_are_printed(crossrec, file):
    outcome = crossrec("ab", file)
    assert (outcome.code, outcome.err) == (0, "")
    assert "2 days, 1 to 2; intervals of 95%" in outcome.out
    assert "new against control" in outcome.out
    [line] = [line for line in outcome.out.splitlines() if line.startswith("pctr_item  +")]
    assert line.split()[-1].startswith(("0.0", "<")) or "e-" in line.split()[-1]
    assert "sample ratio" in outcome.out


def test_json_has_the_whole_analysis(crossrec, file):
    found = crossrec(
        "ab", file, "--experiment", "mine", "--to", "1", "--weight", "control=1", "--weight", "new=1", "--json"
    ).json()
    assert (found["experiment"], found["control"], found["days"], found["sample_ratio_p"]) == (
        "mine",
        "control",
        ["1"],
        1.0,
    )
    assert [arm["users"] for arm in found["arms"]] == [400, 400]
    assert {each["metric"] for each in found["lifts"]} == {"uctr", "pctr_item", "pctr_page", "dau"}
    parquet = crossrec("ab", file.with_suffix(".parquet"), "--experiment", "e", "--to", "1", "--json").json()
    assert parquet["lifts"] == found["lifts"]


def test_a_broken_ratio_of_users_is_warned_of(crossrec, file):
    outcome = crossrec("ab", file, "--assigned", "control=400", "--assigned", "new=600", "--json")
    assert "trust no figure" in outcome.err
    assert outcome.json()["sample_ratio_p"] < 0.001


def test_a_store_is_read(crossrec, tmp_path):
    url, experiment = f"sqlite:{tmp_path / 'e.db'}", Experiment("e", {"control": 1, "new": 1})
    with open_store(url) as store:
        for user in map(str, range(60)):
            store.expose([Exposure(f"r{user}", user, experiment.arm(user), "toys", ("a", "b"), 5.0, "e", "home")])
        store.append([Event(str(at), "toys", "a", 6.0, str(at), request=f"r{at}") for at in range(0, 60, 2)])
    found = crossrec("ab", url, "--experiment", "e", "--domain", "toys", "--page", "home", "--json").json()
    assert sum(arm["clicks"] for arm in found["arms"]) == 30
    assert sum(arm["impressions"] for arm in found["arms"]) == 120


def test_one_arm_is_split_in_two(crossrec, file):
    outcome = crossrec("ab", file, "--aa", "control", "--splits", 50)
    assert "control: 400 users split in two 50 times" in outcome.out
    assert outcome.out.count("as expected") == 4
    assert crossrec("ab", file, "--aa", "control", "--splits", 50, "--json").json()["splits"] == 50


def test_the_sample_size_is_said(crossrec):
    outcome = crossrec("ab", "--sample-size", "--base", 0.05, "--lift", 1)
    assert outcome.out == "435 users per arm show a lift of +100.00% over 0.05 with a chance of 80%.\n"
    more = crossrec("ab", "--sample-size", "--base", 0.05, "--lift", 1, "--power", 0.9, "--json").json()
    assert more["users"] > 435


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json"], "Name a store"),
        (["--sample-size"], "needs --base and --lift"),
        (["FILE", "--base", "0.1"], "belong to --sample-size"),
        (["no-such.csv"], "no such file"),
        (["sqlite:no-such.db", "--experiment", "e"], "no such file"),
        (["sqlite:no-such.db"], "several experiments"),
        (["mysql:x", "--experiment", "e"], "names no store"),
        (["FILE", "--domain", "toys"], "already summed"),
        (["FILE", "--control", "nwe"], "Did you mean 'new'"),
        (["FILE", "--weight", "control"], "--weight control"),
        (["FILE", "--assigned", "control=399.5", "--assigned", "new=400"], "399.5"),
        (["FILE", "--from", "3"], "no row of these days"),
        (["FILE", "--aa", "control", "--splits", "0"], "0 splits"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input_is_one_message(crossrec, file, words, said):
    outcome = crossrec("ab", *(file if word == "FILE" else word for word in words))
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
