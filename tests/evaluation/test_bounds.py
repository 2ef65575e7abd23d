"""What no ranking can have: rows that are known to be impossible, and that rows of rankings never are."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from crossrec.errors import InputError
from crossrec.evaluation.bounds import ONE, Ranks, bounds_of
from crossrec.evaluation.check import broken, metric_name
from crossrec.evaluation.metrics import per_user

CANDIDATES = 60
CUTS = (1, 2, 5, 10, 20)
METRICS = (*(f"{family}@{k}" for family in ("hr", "ndcg", "mrr") for k in CUTS), "mrr", "auc")
DDGHM_MOVIE = {
    **{"hr@5": 0.3083, "ndcg@5": 0.2517, "mrr@5": 0.2431},
    **{"hr@20": 0.3257, "ndcg@20": 0.2892, "mrr@20": 0.2734},
}
BPRMF_KITCHEN = {"hr@10": 0.0382, "ndcg@10": 0.0319, "mrr@10": 0.0435}


def printed(values: dict[str, float], decimals: int = 4) -> dict[str, float]:
    return dict.fromkeys(values, 0.5 * 10.0**-decimals)


def found(values, ranks=None):
    return {one.bound: one for one in broken(values, printed(values), ranks)}


def test_the_printed_row_of_ddghm_on_movie_is_rejected():
    """Specs of DDGHM, 1: 51 hits of 1,000 between ranks 6 and 20 cannot bring .0303 of MRR."""
    first = broken(DDGHM_MOVIE, printed(DDGHM_MOVIE))[0]
    assert (first.law, first.bound) == ("gain", "mrr@20 - mrr@5 <= (hr@20 - hr@5) / 6")
    assert (round(first.figure, 4), round(first.limit, 4), round(first.by, 4)) == (0.0303, 0.0029, 0.0274)
    assert first.slack == pytest.approx(0.5e-4 * (2 + 2 / 6))


def test_a_reciprocal_rank_above_the_hit_rate_is_rejected():
    """Specs of DDGHM, 1: BPR-MF on Kitchen, at cut-off 10 alone."""
    one = found(BPRMF_KITCHEN)["mrr@10 <= hr@10"]
    assert (one.law, one.figure, one.limit, round(one.by, 4)) == ("order", 0.0435, 0.0382, 0.0053)


@pytest.mark.parametrize(
    "law, values, bound",
    [
        ("range", {"hr@5": 1.2}, "hr@5 <= 1"),
        ("range", {"mrr": -0.1}, "mrr >= 0"),
        ("first rank", {"hr@1": 0.2, "ndcg@1": 0.3}, "ndcg@1 <= hr@1"),
        ("first rank", {"hr@1": 0.3, "mrr@1": 0.2}, "mrr@1 >= hr@1"),
        ("growth", {"ndcg@5": 0.3, "ndcg@10": 0.2}, "ndcg@5 <= ndcg@10"),
        ("growth", {"ndcg@1": 0.3, "hr@5": 0.2, "hr@10": 0.4}, "ndcg@1 <= hr@5"),
        ("order", {"hr@5": 0.3, "ndcg@5": 0.31}, "ndcg@5 <= hr@5"),
        ("least", {"hr@5": 0.3, "ndcg@5": 0.11}, "ndcg@5 >= hr@5 / log2(6)"),
        ("least", {"mrr@5": 0.1, "ndcg@5": 0.2}, "mrr@5 >= ndcg@5 * log2(6) / 5"),
        (
            "gain",
            {"hr@5": 0.3, "hr@9": 0.4, "ndcg@5": 0.2, "ndcg@9": 0.229},
            "ndcg@9 - ndcg@5 >= (hr@9 - hr@5) / log2(10)",
        ),
        (
            "gain",
            {"hr@5": 0.3, "hr@9": 0.4, "ndcg@5": 0.2, "ndcg@9": 0.24},
            "ndcg@9 - ndcg@5 <= (hr@9 - hr@5) / log2(7)",
        ),
        ("gain", {"hr@5": 0.4, "mrr@5": 0.2, "mrr": 0.31}, "mrr - mrr@5 <= (1 - hr@5) / 6"),
        (
            "three",
            {"hr@10": 0.5, "ndcg@10": 0.3, "mrr@10": 0.25},
            "mrr@10 <= what hr@10 and ndcg@10 allow",
        ),
        ("cut-offs", {"hr@10": 0.2, "ndcg@5": 0.21}, "ndcg@5 <= what hr@10 allows"),
        ("cut-offs", {"hr@2": 0.1, "hr@5": 0.5, "ndcg@5": 0.31}, "ndcg@5 <= what hr@2 and hr@5 allow"),
    ],
)
def test_every_law_rejects(law, values, bound):
    """By the bound that is named."""
    assert found(values)[bound].law == law


def test_auc_is_held_against_the_hits_among_the_candidates():
    """Hits in a half within rank 10 of 100 leave it between (50 * 90 + 0) / 99 and (50 * 99 + 50 * 89) / 99."""
    assert found({"hr@10": 0.5, "auc": 0.1}) == {}
    low, high = 0.5 * 90 / 99, 0.5 + 0.5 * 89 / 99
    for auc, sign in ((low, ">="), (high, "<=")):
        assert found({"hr@10": 0.5, "auc": auc}, Ranks(100)) == {}
        outside = auc + (2e-4 if sign == "<=" else -2e-4)
        assert list(found({"hr@10": 0.5, "auc": outside}, Ranks(100))) == [f"auc {sign} what hr@10 allows"]
    with pytest.raises(InputError, match="hr@20 among 20 candidates is always a hit"):
        found({"hr@20": 0.5, "auc": 0.1}, Ranks(20))


def test_ties_at_mid_rank_are_allowed_where_one_says_so():
    """A tie of the first two is rank 1.5: no hit within 1, and worth more within 2 than rank 2 is."""
    values = {name: float(per_user(name, np.array([1.5]), np.array([9]))[0]) for name in ("hr@1", "hr@2", "ndcg@2")}
    assert "ndcg@2 - hr@1 <= (hr@2 - hr@1) / log2(3)" in found(values)
    assert found(values, Ranks(halves=True)) == {}
    wrong = {**values, "ndcg@2": 0.77}
    assert "ndcg@2 - hr@1 <= (hr@2 - hr@1) / log2(2.5)" in found(wrong, Ranks(halves=True))


@st.composite
def tables(draw):
    """Figures of random ranks: means of groups, averaged with any weights, of some of the metrics, in shares or per cent."""
    halves = draw(st.booleans())
    rank = st.integers(2, 2 * CANDIDATES).map(lambda twice: twice / 2 if halves else float((twice + 1) // 2))
    groups = draw(st.lists(st.lists(rank, min_size=1, max_size=12), min_size=1, max_size=4))
    weights = draw(st.lists(st.floats(0.01, 1), min_size=len(groups), max_size=len(groups)))
    metrics = draw(st.lists(st.sampled_from(METRICS), min_size=1, max_size=9, unique=True))
    whole, decimals = draw(st.sampled_from([(1.0, 4), (1.0, 2), (100.0, 2), (1.0, 9)]))
    means = {
        name: [float(per_user(name, np.array(group), np.full(len(group), CANDIDATES)).mean()) for group in groups]
        for name in metrics
    }
    values = {
        name: round(whole * float(np.average(each, weights=weights)), decimals) for name, each in sorted(means.items())
    }
    return values, decimals, whole, Ranks(draw(st.sampled_from([None, CANDIDATES])), halves)


@given(tables())
def test_figures_of_ranks_never_break_a_bound(table):
    values, decimals, whole, ranks = table
    assert broken(values, printed(values, decimals), ranks, whole) == []


def possible(values: dict[str, float], rounding: float) -> bool:
    """Whether any distribution of ranks has these figures: one linear programme."""
    worth = {"hr": lambda rank: 1.0, "ndcg": lambda rank: 1 / math.log2(rank + 1), "mrr": lambda rank: 1 / rank}
    asked = [(worth[name.partition("@")[0]], int(name.partition("@")[2])) for name in values]
    matrix = np.array([[of(rank) * (rank <= k) for rank in range(1, 12)] for of, k in asked])
    figures = np.array(list(values.values()))
    return linprog(
        np.zeros(11),
        A_ub=np.vstack([matrix, -matrix]),
        b_ub=np.concatenate([figures, -figures]) + rounding,
        A_eq=np.ones((1, 11)),
        b_eq=[1],
    ).success


@pytest.mark.parametrize("families, cuts", [(("hr", "ndcg"), (2, 5, 10)), (("hr", "ndcg", "mrr"), (10,))])
def test_what_breaks_no_bound_is_possible(families, cuts):
    """Figures near those of rankings, some possible and some not: the bounds tell exactly which."""
    generator = np.random.default_rng(1)
    rounding, verdicts = 0.5e-4, []
    for _ in range(60):
        rank = np.floor(np.exp(generator.uniform(0, 3, size=20)))
        values = {
            name: float(per_user(name, rank, np.full(20, 99)).mean() + generator.normal() * 0.004)
            for name in (f"{family}@{k}" for family in families for k in cuts)
        }
        verdicts.append(possible(values, rounding))
        assert (broken(values, dict.fromkeys(values, rounding)) == []) == verdicts[-1]
    assert 5 < sum(verdicts) < 55


def test_no_bound_is_there_twice():
    bounds = bounds_of(frozenset({"hr@5", "hr@10", "ndcg@1", "ndcg@10", "mrr", "auc"}), Ranks(100))
    kept = [{name: factor * bound.side for name, factor in bound.difference.items()} for bound in bounds]
    for one, other in itertools.combinations(kept, 2):
        if one.keys() == other.keys():
            ratios = [one[name] / other[name] for name in one]
            assert ratios != pytest.approx([ratios[0]] * len(ratios)) or ratios[0] < 0
    assert any(ONE in each for each in kept)


@pytest.mark.parametrize(
    "head, name",
    [("HR@5", "hr@5"), (" Recall@10 ", "hr@10"), ("hit@1", "hr@1"), ("NDCG@20", "ndcg@20"), ("MRR", "mrr")],
)
def test_heads_that_mean_a_metric(head, name):
    assert metric_name(head) == name


@pytest.mark.parametrize("head", ["hr", "ndcg@0", "rmse", "hr@5 std", "mrr@", "row", "1"])
def test_heads_that_mean_none(head):
    assert metric_name(head) is None


SYSTEMS, DOMAINS = 20, ("Movie", "Book", "Food", "Kitchen")


def rows_of(text: str) -> list[tuple[str, list[float]]]:
    """Lines of a name and twelve figures; a blank after a point is the printer's."""
    lines = (re.sub(r"\. (?=\d)", ".", line).strip() for line in text.splitlines())
    matched = (re.fullmatch(r"(\S+)((?: \.\d{4}){12})", line) for line in lines)
    return [(each[1], [float(figure) for figure in each[2].split()]) for each in matched if each]


def printed_tables(text: str) -> dict[tuple[str, str], dict[str, float]]:
    """Tables 2 and 5: system and domain to its nine figures."""
    begin = text.index("Table 2: Experimental results")
    outer = rows_of(text[begin : text.index("4.3 Model Comparison")])
    middle = rows_of(text[text.index("Table 5: Experimental results") :])[:SYSTEMS]
    found: dict[tuple[str, str], dict[str, float]] = {}
    for at, (name, figures) in enumerate(outer):
        for half in (0, 1):
            names = [f"{family}@{k}" for k in (5, 20) for family in ("hr", "ndcg", "mrr")]
            values = dict(zip(names, figures[6 * half : 6 * half + 6], strict=True))
            found[name, DOMAINS[2 * (at // SYSTEMS) + half]] = values
    for name, figures in middle:
        for at, domain in enumerate(DOMAINS):
            found[name, domain] |= dict(zip(("hr@10", "ndcg@10", "mrr@10"), figures[3 * at : 3 * at + 3], strict=True))
    return found


@pytest.mark.real
def test_both_tables_of_ddghm(real_data):
    """Specs of DDGHM, 1: 78 of 80 rows gain more than their hits allow. The other two gain less than theirs bring."""
    path = real_data.parent / "papers" / "ddghm.txt"
    if not path.is_file():
        pytest.skip(f"no text of the paper at {path}")
    cells = printed_tables(path.read_text(encoding="utf-8"))
    assert len(cells) == SYSTEMS * len(DOMAINS)
    assert {len(values) for values in cells.values()} == {9}
    assert cells["DDGHM", "Movie"].items() >= DDGHM_MOVIE.items()
    breaks = {cell: broken(values, printed(values)) for cell, values in cells.items()}
    assert all(breaks.values())
    unbroken = {cell for cell, each in breaks.items() if not any(_more_than_the_hits(one.bound) for one in each)}
    assert unbroken == {("POP", "Movie"), ("POP", "Food")}


def _more_than_the_hits(bound: str) -> bool:
    """Whether it bounds a figure from above by the hit rates of its own cut-offs."""
    return re.search(r"<= \(?hr@", bound) is not None
