"""Comparison of runs: alignment, tests, groups, seeds, refusals."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from crossrec.errors import DataError, InputError
from crossrec.evaluation.metrics import per_user
from crossrec.experiments.compare import compare

MakeRun = Callable[..., Path]


def values(metric: str, rank: Any, candidates: int = 100) -> np.ndarray:
    return per_user(metric, np.asarray(rank, float), np.full(len(rank), candidates))


def test_figures_by_hand(make_run: MakeRun) -> None:
    first = make_run("first", [1, 2, 20, 4])
    second = make_run("second", [1, 1, 1, 30])
    found = compare([first, second], "hr@2")
    assert [mean.value for mean in found.means] == [0.5, 0.75]
    (pair,) = found.pairs
    assert (pair.baseline, pair.system) == ("first", "second")
    assert pair.difference.value == 0.25
    assert pair.relative == 0.5
    assert (pair.users.better, pair.users.equal, pair.users.worse) == (0.25, 0.75, 0.0)
    assert (pair.users.gain, pair.users.loss) == (1.0, 0.0)
    assert (found.users, found.items, found.domain, found.part) == (4, 4, "games", "test")


@pytest.mark.parametrize("metric", ["ndcg@10", "mrr", "mrr@5", "hr@10", "auc"])
def test_tests_are_scipys(make_run: MakeRun, metric: str) -> None:
    rng = np.random.default_rng(0)
    ranks = [rng.integers(1, 60, 300) + 0.5 * rng.integers(0, 2, 300) for _ in range(3)]
    runs = [make_run(f"run{n}x", rank, model=f"m{n}") for n, rank in enumerate(ranks)]
    found = compare(runs, metric)
    base = values(metric, ranks[0])
    expected = [stats.ttest_rel(values(metric, rank), base).pvalue for rank in ranks[1:]]
    assert [pair.test.p for pair in found.pairs] == pytest.approx(expected)
    low, high = sorted(expected)
    corrected = [min(1.0, 2 * p) if p == low else min(1.0, max(2 * low, high)) for p in expected]
    assert [pair.p_holm for pair in found.pairs] == pytest.approx(corrected)
    difference = np.round(values(metric, ranks[1]) - base, 12)
    assert found.pairs[0].test.wilcoxon_p == pytest.approx(stats.wilcoxon(difference).pvalue)
    assert found.pairs[0].test.effect == pytest.approx(difference.mean() / difference.std(ddof=1))
    assert found.pairs[0].difference.low < difference.mean() < found.pairs[0].difference.high


def test_runs_are_aligned_and_the_rest_is_counted(make_run: MakeRun) -> None:
    first = make_run("first", [1, 2, 3, 50], users=["a", "b", "c", "d"], items=["x", "y", "z", "w"])
    # another order, another item for c, no d, and somebody else
    second = make_run("second", [4, 9, 1, 7], users=["b", "c", "a", "e"], items=["y", "other", "x", "x"])
    found = compare([first, second], "mrr")
    assert found.users == 2
    assert [mean.value for mean in found.means] == [(1 + 1 / 2) / 2, (1 + 1 / 4) / 2]
    assert any("first: 2 held-out items" in note for note in found.notes)
    assert any("second: 2 held-out items" in note for note in found.notes)


def test_ids_may_be_numbers_or_text(make_run: MakeRun) -> None:
    first = make_run("first", [1, 2, 3], users=[7, 8, 9], items=[1, 2, 3])
    second = make_run("second", [3, 2, 1], users=["9", "8", "7"], items=["3", "2", "1"])
    assert [mean.value for mean in compare([first, second], "mrr").means] == pytest.approx([11 / 18, 11 / 18])
    third = make_run("third", [3, 2, 1], users=[9, 8, 7], items=[3, 2, 1], model="other")
    assert compare([first, third], "mrr").pairs[0].users.equal == 1.0


def test_a_user_with_several_items_counts_once(make_run: MakeRun) -> None:
    users, items = ["a", "a", "b", "a", "c"], ["x", "y", "x", "x", "x"]
    lengths = {"games": [1, 2, 3, 9, 4]}
    first = make_run("first", [1, 2, 1, 4, 5], users, items, history=lengths)
    second = make_run("second", [2, 2, 2, 2, 2], users, items, history=lengths)
    found = compare([first, second], "mrr")
    assert (found.users, found.items) == (3, 5)
    assert found.means[0].value == pytest.approx(((1 + 1 / 2 + 1 / 4) / 3 + 1 + 1 / 5) / 3)
    assert [(group.label, group.users) for group in found.groups] == [("3", 1), ("4", 1), ("5-9", 1)]  # a's longest: 9
    assert any("hold out 5 items" in note for note in found.notes)


def test_same_item_twice_keeps_its_order(make_run: MakeRun) -> None:
    first = make_run("first", [1, 4, 2], ["a", "a", "b"], ["x", "x", "x"])
    second = make_run("second", [2, 1, 4], ["b", "a", "a"], ["x", "x", "x"])
    assert compare([first, second], "mrr").pairs[0].users.equal == 1.0


def test_groups(make_run: MakeRun) -> None:
    toys, games = [0] * 30 + [4] * 30, ([2] * 15 + [3] * 15) * 2
    base = [5.0] * 60
    history = {"toys": toys, "games": games}
    rng = np.random.default_rng(0)
    better = [9.0 + n for n in rng.integers(0, 2, 30)] + [1.0 + n for n in rng.integers(0, 2, 30)]
    single = make_run("single", base, history={"games": games})
    merged = make_run("merged", better, history=history, config={"sources": ["toys"]})
    found = compare([single, merged], "mrr")
    assert [(group.domain, group.label, group.users) for group in found.groups] == [
        ("games", "2", 30),
        ("games", "3", 30),
        ("toys", "0", 30),
        ("toys", "4", 30),
    ]
    assert found.groups[3].means[1].value == pytest.approx(values("mrr", better[30:]).mean())
    (pair,) = found.pairs
    assert pair.adds == ("toys",)
    verdicts = {(lift.domain, lift.label): lift.verdict for lift in pair.groups}
    assert verdicts["toys", "0"] == "hurts"
    assert verdicts["toys", "4"] == "helps"
    lift = pair.groups[3]
    assert lift.difference.value == pytest.approx(values("mrr", better[30:]).mean() - 0.2)
    assert lift.relative == pytest.approx(lift.difference.value / 0.2)
    ps = sorted(lift.p for lift in pair.groups)
    assert min(lift.p_holm for lift in pair.groups) == pytest.approx(min(1.0, 4 * ps[0]))


def test_no_history_no_groups(make_run: MakeRun) -> None:
    same = {"games": [3, 3, 3]}
    found = compare([make_run("a", [1, 2, 3], history=same), make_run("b", [3, 2, 1], history=same)])
    assert found.groups == ()
    assert found.pairs[0].groups == ()


def test_seeds_of_one_system_are_averaged(make_run: MakeRun) -> None:
    settings = {"dim": 64, "train": {"lr": 0.001, "seed": 3}}
    runs = [
        make_run("sasrec-seed1", [1, 2, 4], seed=1, config=settings),
        make_run("sasrec-seed2", [2, 4, 4], seed=2, config=settings | {"train": {"lr": 0.001, "seed": 4}}),
        make_run("wide-seed1", [1, 1, 1], seed=1, config=settings | {"dim": 128}),
    ]
    found = compare(runs, "mrr")
    assert [(system.name, system.seeds) for system in found.systems] == [("sasrec", (1, 2)), ("wide-seed1", (1,))]
    assert found.means[0].value == pytest.approx(np.mean([3 / 4, 3 / 8, 1 / 4]))
    difference = np.array([1 / 4, 5 / 8, 3 / 4])
    assert found.pairs[0].test.t == pytest.approx(stats.ttest_1samp(difference, 0).statistic)
    assert any("2 seeds (1, 2)" in note for note in found.notes)
    assert any("different numbers of seeds" in note for note in found.notes)


@pytest.mark.parametrize("what", [{"preset": "authors"}, {"sources": ["toys"]}, {"sampler": "realhns"}])
def test_other_settings_are_another_system(make_run: MakeRun, what: dict[str, Any]) -> None:
    runs = [
        make_run("a1", [1, 2, 4], seed=1),
        make_run("a2", [2, 4, 4], seed=2),
        make_run("b1", [1, 2, 1], seed=1, config=what),
        make_run("b2", [1, 1, 4], seed=2, config=what),
    ]
    found = compare(runs, "mrr")
    assert [len(system.seeds) for system in found.systems] == [2, 2]


def test_seeds_alone_are_compared_with_each_other(make_run: MakeRun) -> None:
    runs = [make_run("a-1", [1, 2, 4], seed=1), make_run("a-2", [2, 4, 4], seed=2)]
    assert [system.name for system in compare(runs).systems] == ["a-1", "a-2"]


def test_a_seed_that_comes_again_is_a_system_of_its_own(make_run: MakeRun) -> None:
    runs = [make_run("old/run", [1, 2, 4]), make_run("new/run", [1, 1, 2])]
    assert [system.name for system in compare(runs).systems] == ["old/run", "new/run"]


def test_baseline_may_be_named(make_run: MakeRun) -> None:
    runs = [make_run("a", [1, 2, 4]), make_run("b", [2, 4, 4], model="m"), make_run("c", [1, 1, 1], model="n")]
    for baseline in ("b", runs[1]):
        found = compare(runs, baseline=baseline)
        assert [(pair.baseline, pair.system) for pair in found.pairs] == [("b", "a"), ("b", "c")]
    with pytest.raises(InputError, match="'bb' is none of the runs"):
        compare(runs, baseline="bb")


@pytest.mark.parametrize(
    "field, other",
    [("data_hash", "d2"), ("domain", "toys"), ("part", "valid"), ("negatives_hash", "n2")],
)
def test_refuses_what_is_not_comparable(make_run: MakeRun, field: str, other: str) -> None:
    runs = [make_run("a", [1, 2, 4]), make_run("b", [1, 2, 4], **{field: other})]
    with pytest.raises(InputError, match=f"their {field} differs .*a: .*b: {other}.*To mend it"):
        compare(runs)


def test_refuses_results_of_another_protocol(make_run: MakeRun) -> None:
    runs = [make_run("a", [1, 2, 4]), make_run("b", [1, 2, 4])]
    for run in runs:
        (run / "results" / "full.parquet").rename(run / "results" / "sampled-99.parquet")
    with pytest.raises(InputError, match="'sampled-99' say they are 'full'"):
        compare(runs, protocol="sampled:99")


def test_sampled_protocol(make_run: MakeRun) -> None:
    runs = [make_run(name, [1, 2, 4], protocol="sampled:99", negatives_hash="n", model=name) for name in "ab"]
    assert compare(runs, protocol="sampled:99").protocol == "sampled:99"
    with pytest.raises(InputError, match=r"found: sampled-99.*crossrec evaluate .* --protocol full"):
        compare(runs)


def test_leaks_and_unlike_runs_are_warned_of(make_run: MakeRun) -> None:
    leak = "Test items are among the training negatives."
    first = make_run("a", [1, 2, 4], protocol="authors", negatives_hash="n1", leak=leak)
    second = make_run("b", [1, 2, 4], protocol="authors", negatives_hash="n2", split_hash="s2", candidates=90)
    warned = compare([first, second], protocol="authors").warnings
    assert any(leak in text and str(first) in text and str(second) not in text for text in warned)
    for part in ("split differently", "drawn anew", "different numbers of candidates"):
        assert any(part in text for text in warned)
    assert compare([make_run("c", [1, 2, 4]), make_run("d", [1, 2, 3])]).warnings == ()


def test_refuses_too_few(make_run: MakeRun) -> None:
    run = make_run("a", [1, 2, 4])
    with pytest.raises(InputError, match="at least two runs"):
        compare([run])
    with pytest.raises(InputError, match="given twice"):
        compare([run, run / ".." / "a"])
    with pytest.raises(InputError, match="share no held-out item"):
        compare([run, make_run("b", [1, 2], users=["x", "y"])])
    with pytest.raises(InputError, match="one user only"):
        compare([run, make_run("c", [1])])
    with pytest.raises(InputError, match="no metric 'recall@10'"):
        compare([run, make_run("d", [1, 2, 3])], "recall@10")


def test_refuses_broken_results(make_run: MakeRun, tmp_path: Path) -> None:
    good, bad = make_run("good", [1, 2, 4]), make_run("bad", [1, 2, 400])
    path = bad / "results" / "full.parquet"
    with pytest.raises(DataError, match=r"full.parquet, row 2, column 'rank': 400.0 .* 100 candidates"):
        compare([good, bad])
    pq.write_table(pq.read_table(path).drop_columns(["candidates"]), path)
    with pytest.raises(DataError, match="no column 'candidates'"):
        compare([good, bad])
    path.write_text("not parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        compare([good, bad])
    with pytest.raises(InputError, match="no such run folder"):
        compare([good, tmp_path / "nowhere"])
    nan = make_run("nan", [1, math.nan, 2])
    with pytest.raises(DataError, match="row 1, column 'rank': nan"):
        compare([good, nan])


def test_to_dict_is_json_and_repeats(make_run: MakeRun) -> None:
    history = {"games": [1, 2, 3, 4]}
    runs = [make_run("a", [20, 20, 20, 20], history=history), make_run("b", [1, 1, 1, 1], history=history)]
    found = compare(runs, seed=3)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert text == json.dumps(compare(runs, seed=3).to_dict())
    said = json.loads(text)
    assert said["pairs"][0]["relative"] is None  # the baseline has nothing
    assert said["pairs"][0]["test"]["effect"] is None  # everybody gains the same: infinite
    assert said["systems"][0]["seeds"] == [1]
    assert said["level"] == 0.95


def test_sentences_say_what_is_shown(make_run: MakeRun) -> None:
    rng = np.random.default_rng(0)
    rank = rng.integers(1, 12, 400)
    runs = [
        make_run("base", rank),
        make_run("better", np.maximum(1, rank - 1), model="m"),
        make_run("shuffled", rng.permutation(rank), model="n"),
        make_run("worse", rank + 2, model="o"),
    ]
    better, same, worse = compare(runs, "mrr").sentences()
    assert better.startswith("better ranks better than base on games: mrr 0.")
    assert "shuffled is not shown to differ from base" in same
    assert "worse ranks worse than base" in worse
    assert "400 users, full ranking" in worse
