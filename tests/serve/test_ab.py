"""Arms, the figures of an experiment and whether they can be trusted."""

from __future__ import annotations

import collections
import datetime
import math
import time

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from crossrec.errors import InputError
from crossrec.serve.ab import analyse, null_test
from crossrec.serve.ab_rows import rows_of, table_of
from crossrec.serve.arms import Experiment
from crossrec.serve.events import Event, Exposure
from crossrec.serve.ratios import lift, ratio, sample_ratio_p, sample_size
from crossrec.serve.store import open_store

USERS = [f"user {i}" for i in range(6000)]
TABLE = {
    "user": ["a", "a", "b", "c", "d", "d", "e"],
    "arm": ["control"] * 4 + ["new"] * 3,
    "day": ["2026-01-01", "2026-01-02", "2026-01-01", "2026-01-02", "2026-01-01", "2026-01-02", "2026-01-02"],
    "impressions": [10, 20, 10, 0, 20, 20, 10],
    "page_views": [1, 2, 1, 0, 2, 2, 1],
    "clicks": [1, 3, 0, 0, 4, 2, 0],
    "page_clicks": [1, 1, 0, 0, 2, 1, 0],
    "active": [1, 1, 1, 1, 1, 1, 1],
}


def simulated(rng, users, click, arm, days=1):
    """A table of users who differ in how much they see and how often they click."""
    views = rng.poisson(rng.gamma(2, 2, users)[:, None], (users, days))
    clicks = rng.binomial(10 * views, np.clip(rng.beta(2, 2 / click - 2, users), 0, 1)[:, None])
    there = views > 0
    user, day = np.nonzero(there)
    return pa.table(
        {
            "user": [f"{arm}{i}" for i in user],
            "arm": [arm] * len(user),
            "day": day,
            "impressions": 10 * views[there],
            "page_views": views[there],
            "clicks": clicks[there],
        }
    )


def test_shares_of_users_follow_the_weights():
    counts = collections.Counter(map(Experiment("e", {"a": 1, "b": 3, "closed": 0}).arm, USERS))
    assert set(counts) == {"a", "b"}
    assert stats.chisquare([counts["a"], counts["b"]], [1500, 4500]).pvalue > 0.001


def test_experiments_are_independent_of_each_other():
    one, other = (Experiment(name, {"a": 1, "b": 1}) for name in ("one", "other"))
    table = collections.Counter((one.arm(user), other.arm(user)) for user in USERS)
    cells = [[table[a, b] for b in "ab"] for a in "ab"]
    assert stats.chi2_contingency(cells).pvalue > 0.001


def test_an_arm_that_grows_only_takes_users_in():
    before, grown, third = (
        Experiment("e", arms) for arms in ({"a": 9, "b": 1}, {"b": 4, "a": 9}, {"a": 9, "b": 1, "c": 1})
    )
    moves = {(before.arm(user), grown.arm(user)) for user in USERS}
    assert moves == {("a", "a"), ("b", "b"), ("a", "b")}
    moves = {(before.arm(user), third.arm(user)) for user in USERS}
    assert moves == {("a", "a"), ("b", "b"), ("a", "c"), ("b", "c")}


def test_assignment_never_changes():
    experiment = Experiment("checkout", {"control": 1, "new": 1})
    assert "".join(experiment.arm(f"u{i}")[0] for i in range(16)) == "nccnnncccncccncc"


@pytest.mark.parametrize("arms", [{}, {"a": 0}, {"a": -1, "b": 1}, {"a": math.nan}, {"": 1}, {"a": True}])
def test_arms_need_names_and_weights(arms):
    with pytest.raises(InputError):
        Experiment("e", arms)


def test_figures_are_those_of_their_definitions():
    control, new = analyse(TABLE).arms
    assert (control.users, new.users, control.impressions, new.clicks) == (3, 2, 40, 6)
    values = {name: figure.value for name, figure in control.metrics.items()}
    expected = {"uctr": (1 / 2 + 1) / 2, "pctr_item": 4 / 40, "pctr_page": 4 / 4, "clicked_pages": 2 / 4}
    assert values == pytest.approx({**expected, "dau": (2 + 2) / 2 / 3})
    values = {name: figure.value for name, figure in new.metrics.items()}
    expected = {"uctr": (1 + 1 / 2) / 2, "pctr_item": 6 / 50, "pctr_page": 6 / 5, "clicked_pages": 3 / 5}
    assert values == pytest.approx({**expected, "dau": (1 + 2) / 2 / 2})


def test_the_delta_method_is_the_formula():
    rng = np.random.default_rng(1)
    x = rng.poisson(5, 400).astype(float) + 1
    y = rng.binomial(x.astype(int), 0.2).astype(float)
    found = ratio(y, x)
    (vy, cov), (_, vx) = np.cov(y, x)
    assert found.value == pytest.approx(y.sum() / x.sum())
    r = float(found.value)
    assert found.variance == pytest.approx((vy - 2 * r * cov + r * r * vx) / (400 * x.mean() ** 2))
    higher = ratio(y * 1.5, x)
    gained = lift(higher, found)
    deviation = math.sqrt(2 * found.variance) / r
    assert [gained.value, gained.low, gained.high] == pytest.approx(
        [0.5, *(1.5 * math.exp(sign * 1.959964 * deviation) - 1 for sign in (-1, 1))]
    )
    assert gained.p == pytest.approx(2 * stats.norm.sf(math.log(1.5) / deviation))


def test_on_one_day_uctr_is_a_share_of_users_with_its_binomial_variance():
    rng = np.random.default_rng(2)
    clicks = rng.integers(0, 2, 200)
    table = {"user": range(200), "arm": ["control"] * 100 + ["b"] * 100, "day": [0] * 200, "impressions": [3] * 200}
    figure = analyse({**table, "clicks": clicks}).arms[0].metrics["uctr"]
    p = clicks[:100].mean()
    assert figure.value == pytest.approx(p)
    assert figure.deviation**2 == pytest.approx(p * (1 - p) * 100 / 99)


def test_a_users_days_are_not_independent():
    one = simulated(np.random.default_rng(3), 300, 0.02, "control")
    tables = [one, pa.table({**simulated(np.random.default_rng(4), 300, 0.02, "b").to_pydict()})]
    day = pa.concat_tables(tables)
    twice = pa.concat_tables([day, day.set_column(2, "day", pa.array([1] * len(day)))])
    single, double = (analyse(table).arms[0].metrics["uctr"] for table in (day, twice))
    assert double.value == pytest.approx(single.value)
    assert double.deviation == pytest.approx(single.deviation), "the same again says nothing new"


def test_the_interval_covers_the_true_lift_in_95_of_100_tests():
    """1,000 simulated tests (specs of DIAGAE, 17.14): users differ in what they see and in how often they click."""
    begin = time.perf_counter()
    rng = np.random.default_rng(11)
    sides = []
    for rate in (0.05, 0.06):
        shown_NU = rng.geometric(0.1, (1000, 500))
        taste_NU = rng.beta(2, 2 / rate - 2, (1000, 500))
        sides.append(ratio(rng.binomial(shown_NU, taste_NU).astype(float), shown_NU.astype(float)))
    found = lift(sides[1], sides[0])
    covered = np.mean((found.low <= 0.2) & (found.high >= 0.2))
    assert abs(covered - 0.95) <= 0.02
    assert np.mean((found.low <= 0) & (found.high >= 0)) < 0.7, "the intervals are not wide for nothing"
    assert np.mean(found.p < 0.05) == np.mean((found.low > 0) | (found.high < 0)), "p and interval agree"
    assert time.perf_counter() - begin < 5


def test_analyse_gives_the_lift_of_the_same_sums():
    rng = np.random.default_rng(6)
    tables = [simulated(rng, 400, rate, arm) for rate, arm in ((0.02, "control"), (0.03, "new"))]
    found = analyse(pa.concat_tables(tables))
    sums = [[np.asarray(table[name], float) for name in ("clicks", "impressions")] for table in tables]
    expected = lift(ratio(*sums[1]), ratio(*sums[0]))
    [item] = [each for each in found.lifts if each.metric == "pctr_item"]
    wanted = [float(each) for each in (expected.value, expected.low, expected.high, expected.p)]
    assert [item.lift, item.low, item.high, item.p] == pytest.approx(wanted)
    assert item.p < 0.05
    assert [each.metric for each in found.lifts] == ["uctr", "pctr_item", "pctr_page", "dau"]
    assert found.warnings == ()


def test_the_sample_ratio_is_tested_against_the_weights():
    assert sample_ratio_p(np.array([5000.0, 5200.0]), np.ones(2)) == pytest.approx(stats.chisquare([5000, 5200]).pvalue)
    found = analyse(TABLE, assigned={"control": 1000, "new": 1300})
    assert found.sample_ratio_p < 1e-9
    assert "trust no figure" in found.warnings[0]
    assert analyse(TABLE, assigned={"control": 1000, "new": 1300}, weights={"control": 1, "new": 1.3}).warnings == ()


def test_users_who_never_came_count_for_dau_alone():
    seen, assigned = (analyse(TABLE, **more).arms[0].metrics for more in ({}, {"assigned": {"control": 6, "new": 4}}))
    assert assigned["dau"].value == pytest.approx(seen["dau"].value / 2)
    assert assigned["pctr_item"].value == seen["pctr_item"].value


def test_a_null_test_alarms_in_5_of_100_splits_and_is_the_same_every_time():
    table = simulated(np.random.default_rng(8), 1500, 0.02, "control", days=3)
    sound = null_test(table, splits=200)
    assert all(0.01 <= share <= 0.1 for share in sound.alarms.values())
    assert min(sound.p.values()) > 0.001
    assert null_test(table, splits=50) == null_test(table, splits=50)


def test_sample_size_is_that_of_the_textbook():
    # Fleiss, Levin, Paik 2003: 5 % against 10 %, two-sided 0.05, power 0.8, no continuity correction: 435 (434.4).
    assert sample_size(0.05, 1.0) == 435
    assert sample_size(0.05, 0.02) == pytest.approx(752_000, rel=0.01)
    assert sample_size(10.0, 0.1, deviation=5.0) == math.ceil(2 * ((1.959964 + 0.841621) * 5) ** 2)


def test_the_power_promised_is_the_power_had():
    rng = np.random.default_rng(9)
    users = sample_size(0.2, 0.25, power=0.8)
    sides = [ratio(rng.random((1000, users)) < rate, np.ones(users)) for rate in (0.2, 0.25)]
    assert abs(np.mean(lift(sides[1], sides[0]).p < 0.05) - 0.8) < 0.05


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base": 0}, "base"),
        ({"base": 1.5}, "deviation"),
        ({"base": 0.9, "lift": 0.5}, "deviation"),
        ({"lift": 0}, "lift"),
        ({"lift": -1}, "lift"),
        ({"power": 1}, "power"),
        ({"level": 0}, "level"),
        ({"deviation": -1}, "deviation"),
    ],
    ids=str,
)
def test_what_has_no_sample_size_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        sample_size(**{"base": 0.1, "lift": 0.1, **given})


def changed(**columns):
    return {**TABLE, **columns}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"user": ["a"]}, "no column 'arm'"),
        (changed(user=["a", "a", "b", "c", "a", "d", "e"]), "more than one arm, such as 'a'"),
        (changed(clicks=[1, 3, 0, 1, 4, 2, 0]), "clicks without impressions"),
        (changed(clicks=[1, 3, 0, -1, 4, 2, 0]), "row 4: clicks is -1"),
        (changed(clicks=[1, 3, 0, 0.5, 4, 2, 0]), "row 4: clicks is 0.5"),
        (changed(clicks=[1, 3, 0, None, 4, 2, 0]), "row 4: clicks is nan"),
        (changed(clicks=["x"] * 7), "is no number"),
        (changed(user=["a", "a", None, "c", "d", "d", "e"]), "no user"),
        (changed(arm=["control"] * 7), "nothing to compare"),
        (changed(arm=["a"] * 4 + ["b"] * 3), "say which one"),
        (changed(user=["a", "a", "b", "c", "d", "d", "d"]), "one user"),
        (changed(day=["1", "1", "1", "1", "2", "2", "2"]), "no day on which"),
        (changed(day=[]), "cannot go to Arrow"),
        ({name: [] for name in TABLE}, "no row"),
        (7, "frame"),
    ],
    ids=range(15),
)
def test_a_table_that_cannot_be_is_refused(table, said):
    with pytest.raises(InputError, match=said):
        analyse(table)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"control": "contrl"}, "Did you mean 'control'"),
        ({"treatment": "control"}, "nothing to compare"),
        ({"level": 1}, "level"),
        ({"weights": {"control": 1}}, "'new' has users but no weight"),
        ({"assigned": {"control": 1, "new": 9}}, "of them have rows"),
        ({"assigned": {"control": 9}}, "every arm"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        analyse(TABLE, **given)


def test_rows_of_a_user_and_a_day_are_summed_and_days_chosen():
    twice = {name: [*column, *column] for name, column in TABLE.items()}
    once, both = analyse(TABLE), analyse(twice)
    assert both.arms[0].clicks == 2 * once.arms[0].clicks
    assert both.arms[0].metrics["dau"] == once.arms[0].metrics["dau"]
    assert rows_of(TABLE, "2026-01-02").days == ("2026-01-02",)
    numbered = changed(day=[9, 10, 9, 10, 9, 10, 10])
    assert rows_of(numbered).days == ("9", "10")
    assert rows_of(numbered, last="9").users == ("a", "b", "d")
    dated = changed(day=[datetime.datetime(2026, 1, 1, 7)] * 7)
    assert rows_of(dated).days == ("2026-01-01",)
    with pytest.raises(InputError, match="in the same way"):
        rows_of(numbered, first="2026-01-01")


def test_an_arm_without_clicks_has_no_lift_and_says_so():
    found = analyse(changed(clicks=[0, 0, 0, 0, 4, 2, 0], page_clicks=[0] * 7))
    assert {each.metric for each in found.lifts if math.isnan(each.lift)} == {
        *("uctr", "pctr_item", "pctr_page", "clicked_pages")
    }
    assert "No lift of" in found.warnings[-1]


def test_a_store_gives_exposures_with_their_clicks(url):
    day = 86_400.0

    def shown(request, user, arm, time, **more):
        return Exposure(request, user, arm, "toys", ("x", "y"), time, **{"experiment": "e", "page": "home", **more})

    def click(id, user, request, item="x", **more):
        return Event(user, "toys", item, day + 5, id, request=request, **more)

    with open_store(url) as store:
        store.expose(
            [
                shown("r1", "a", "control", day - 1),
                shown("r2", "a", "control", day + 1),
                shown("r3", "b", "new", day, page="basket"),
                shown("r4", "b", "new", day, experiment="other"),
                shown("r5", "b", "new", day, page="basket", first=3),
            ]
        )
        store.append(
            [
                click("1", "a", "r1"),
                click("2", "a", "r1", "y"),
                click("3", "b", "r3", kind="view"),
                click("4", "b", "r3", "z"),
                click("5", "a", "r3"),
                click("6", "b", "r4"),
                click("7", "b", None),
                click("8", "b", "r5"),
                click("8", "b", "r5"),
            ]
        )
        found = {(row["user"], row["day"]): row for row in table_of(store, "e").to_pylist()}
        assert found["a", "1970-01-01"] == {
            **{"user": "a", "arm": "control", "day": "1970-01-01", "impressions": 2, "clicks": 2},
            **{"page_views": 1, "page_clicks": 1, "active": 1},
        }, "a click counts on the day of its exposure"
        assert found["a", "1970-01-02"]["clicks"] == 0
        assert [found["b", "1970-01-02"][name] for name in ("impressions", "clicks", "page_views")] == [4, 1, 2]
        assert table_of(store, "e", page="home")["user"].to_pylist() == ["a", "a"]
        with pytest.raises(InputError, match="no exposure of an experiment 'none'"):
            table_of(store, "none")
