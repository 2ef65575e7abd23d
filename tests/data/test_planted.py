"""The law of simulated worlds, seen in their logs: each parameter does what it says, told with numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from crossrec.data.simulate import Simulated, shuffle_domain, simulate
from crossrec.data.worlds import World

Ints = npt.NDArray[np.int64]
BASE: dict[str, Any] = {
    "users": 1500,
    "items": 200,
    "events": {"toys": 6, "games": 15},
    "overlap": 1.0,
    "interests": 10,
    "drift": 0.5,
    "sequence": 0.1,
}
CHANCE = 1 / 10


def world(**changes: Any) -> Simulated:
    return simulate(World(**{**BASE, **changes}))


def numbers(made: Simulated, domain: str, column: str = "user_id") -> Ints:
    """The numbers within the ids of a log, in its order."""
    text = made.tables[domain].column(column).to_numpy().astype(str)
    return np.char.rpartition(np.char.lstrip(text, "u"), "-")[:, 2].astype(np.int64)


def by_user(made: Simulated, domain: str) -> tuple[Ints, Ints, Ints, Ints]:
    """Users, items, interests and times of a log, each user's in time order."""
    user_E, item_E = numbers(made, domain), numbers(made, domain, "item_id")
    truth = made.true_items.filter(np.asarray(made.true_items["domain"]) == domain)
    interest_E = truth["interest"].to_numpy()[item_E]
    order = np.argsort(user_E, kind="stable")
    time_E = made.tables[domain]["timestamp"].to_numpy()
    return user_E[order], item_E[order], interest_E[order], time_E[order]


def histogram(made: Simulated, domain: str) -> Ints:
    """How often each user meets each interest in a domain."""
    user_E, _, interest_E, _ = by_user(made, domain)
    shape = (made.world.users, made.world.interests)
    return np.bincount(user_E * shape[1] + interest_E, minlength=shape[0] * shape[1]).reshape(shape)


def hits(made: Simulated, source: str, target: str) -> npt.NDArray[np.float64]:
    """Per user of both: the share of events in the target that are of the user's first interest in the source."""
    source_UC, target_UC = histogram(made, source), histogram(made, target)
    both = (source_UC.sum(1) > 0) & (target_UC.sum(1) > 0)
    share_UC = target_UC / np.maximum(target_UC.sum(1, keepdims=True), 1)
    return np.where(both, share_UC[np.arange(len(both)), source_UC.argmax(1)], np.nan)


def log_loss(made: Simulated, source: str, target: str) -> tuple[float, float]:
    """Mean surprise at the target's interests: knowing the user's source histogram, and knowing popularity alone."""
    source_UC, target_UC = histogram(made, source), histogram(made, target)
    popular_C = target_UC.sum(0) / target_UC.sum()
    knowing_UC = (source_UC + 2 * popular_C) / (source_UC.sum(1, keepdims=True) + 2)
    total = target_UC.sum()
    return float(-(target_UC * np.log(knowing_UC)).sum() / total), float(-(target_UC * np.log(popular_C)).sum() / total)


def test_full_transfer_beats_popularity() -> None:
    made = world(transfer=1.0)
    knowing, popular = log_loss(made, "games", "toys")
    assert knowing < popular - 0.3
    assert np.nanmean(hits(made, "games", "toys")) > 3.5 * CHANCE


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_transfers_at_strength_zero_nor_with_a_shuffled_source(seed: int) -> None:
    nothing = world(transfer=0.0, seed=seed)
    made = world(transfer=1.0, seed=seed)
    shuffled = Simulated(
        made.world, shuffle_domain(made.tables, "games", seed), made.items, made.true_users, made.true_items
    )
    for logs in (nothing, shuffled):
        knowing, popular = log_loss(logs, "games", "toys")
        assert knowing > popular
        hit_U = hits(logs, "games", "toys")
        assert abs(hit_U.mean() - CHANCE) < 4 * hit_U.std() / np.sqrt(len(hit_U))


def test_more_strength_more_transfer() -> None:
    means = [float(hits(world(transfer=strength), "games", "toys").mean()) for strength in (0.0, 0.3, 0.6, 1.0)]
    assert np.diff(means).min() > 0.04, means


def test_strength_is_the_agreement_of_preferences() -> None:
    made = world(transfer=0.6, drift=0.0, interests=4)
    toys_UC, games_UC = (
        np.stack(made.true_users[f"interests_{name}"].to_numpy()).astype(np.float64) for name in ("toys", "games")
    )
    agree = np.sign(toys_UC[:, 0] - toys_UC[:, 1]) == np.sign(games_UC[:, 0] - games_UC[:, 1])
    assert agree.mean() == pytest.approx((1 + 0.6) / 2, abs=4 * 0.4 / np.sqrt(len(agree)))


def test_strength_per_pair() -> None:
    made = world(domains=["a", "b", "c"], events=10, transfer={("a", "b"): 0.9, ("b", "c"): 0.3, ("a", "c"): 0.2})
    near, far = hits(made, "a", "b").mean(), hits(made, "c", "b").mean()
    assert near > far + 0.1
    assert far > CHANCE + 0.02
    apart = world(domains=["a", "b", "c"], events=10, transfer={("a", "b"): 0.9})
    assert abs(hits(apart, "a", "c").mean() - CHANCE) < 0.02


def test_outliers_do_not_transfer() -> None:
    made = world(transfer=1.0, outliers=0.3, drift=0.2)
    odd_U = made.true_users["outlier"].to_numpy()
    assert odd_U.sum() == round(0.3 * 1500)
    hit_U = hits(made, "games", "toys")
    assert abs(hit_U[odd_U].mean() - CHANCE) < 4 * hit_U[odd_U].std() / np.sqrt(odd_U.sum())
    assert hit_U[~odd_U].mean() > 4 * CHANCE


def test_outliers_stand_alone_in_one_domain_only() -> None:
    made = world(domains=3, events=10, transfer=1.0, outliers=1.0, drift=0.2)
    alone_U = np.asarray(made.true_users["outlier_domain"].to_pylist())
    assert set(alone_U) == {"toys", "games", "books"}
    hit_U = hits(made, "games", "toys")
    assert hit_U[alone_U == "books"].mean() > 4 * CHANCE
    assert abs(hit_U[alone_U != "books"].mean() - CHANCE) < 0.03


def test_outliers_are_users_of_several_domains() -> None:
    made = world(overlap=0.4, outliers=0.5)
    present_U2 = np.stack([made.true_users[f"present_{name}"].to_numpy() for name in ("toys", "games")], axis=1)
    odd_U = made.true_users["outlier"].to_numpy()
    assert odd_U.sum() == round(0.5 * present_U2.all(1).sum()) > 0
    assert present_U2[odd_U].all()


def test_drift_passes_and_the_rest_lasts() -> None:
    def same(drift: float) -> tuple[float, float]:
        """How often the first events of a user share the interest, and the first and the last."""
        user_E, _, interest_E, _ = by_user(world(events=20, drift=drift, sequence=0.0), "toys")
        first = np.flatnonzero(np.r_[True, user_E[1:] != user_E[:-1]])
        last = np.r_[first[1:], len(user_E)] - 1
        return (
            float((interest_E[first] == interest_E[first + 1]).mean()),
            float((interest_E[first] == interest_E[last]).mean()),
        )

    (steady_near, steady_far), (mixed_near, mixed_far), (fleeting_near, fleeting_far) = map(same, (0.0, 0.6, 1.0))
    assert steady_far == pytest.approx(steady_near, abs=0.04)
    assert steady_far > mixed_far + 0.05 > fleeting_far + 0.1
    assert fleeting_far == pytest.approx(CHANCE, abs=0.03)
    assert min(mixed_near, fleeting_near) > 3 * CHANCE


def recent(made: Simulated, domains: tuple[str, ...], places: int = 6, decay: float = 0.7) -> float:
    """How often the next interest in toys is the one seen most in the last events of these domains (a plain vote)."""
    parts = [by_user(made, name) for name in ("toys", "games")]
    user_E, _, interest_E, time_E = (np.concatenate(part) for part in zip(*parts, strict=True))
    toy_E = np.arange(len(user_E)) < len(parts[0][0])
    order = np.lexsort((time_E, user_E))
    user_E, interest_E, toy_E = user_E[order], interest_E[order], toy_E[order]
    counted_E = toy_E if domains == ("toys",) else ~toy_E if domains == ("games",) else np.ones_like(toy_E)
    at_H = np.flatnonzero(counted_E)
    before_E = np.cumsum(counted_E) - counted_E
    votes_EC = np.zeros((len(user_E), made.world.interests))
    for back in range(1, places + 1):
        asked = np.flatnonzero(toy_E & (before_E >= back))
        seen = at_H[before_E[asked] - back]
        known = user_E[seen] == user_E[asked]
        votes_EC[asked[known], interest_E[seen[known]]] += decay**back
    scored = toy_E & (votes_EC.sum(1) > 0)
    return float((votes_EC.argmax(1) == interest_E)[scored].mean())


def test_recent_events_elsewhere_tell_the_next_one() -> None:
    made = world(transfer=1.0, events={"toys": 5, "games": 15}, drift=0.8)
    own, merged = recent(made, ("toys",)), recent(made, ("toys", "games"))
    assert merged > 1.2 * own
    apart = world(transfer=0.0, events={"toys": 5, "games": 15}, drift=0.8)
    assert recent(apart, ("games",)) == pytest.approx(CHANCE, abs=0.015)
    assert recent(apart, ("toys", "games")) < recent(apart, ("toys",))


@pytest.mark.parametrize("tail", [0.5, 1.0, 1.3])
def test_popularity_has_its_tail(tail: float) -> None:
    made = world(tail=tail, events=20, sequence=0.3, users=3000)
    truth = made.true_items.filter(np.asarray(made.true_items["domain"]) == "toys")
    interest_V, weight_V = truth["interest"].to_numpy(), truth["weight"].to_numpy()
    count_V = np.bincount(by_user(made, "toys")[1], minlength=200)
    rank_V = np.empty(200)
    for interest in range(10):
        at = np.flatnonzero(interest_V == interest)
        assert weight_V[at].sum() == pytest.approx(1.0)
        rank_V[at[np.argsort(-weight_V[at])]] = np.arange(1, len(at) + 1)
    np.testing.assert_allclose(np.polyfit(np.log(rank_V), np.log(weight_V), 1)[0], -tail, atol=0.02)
    # The first of each interest is taken a little less than its due, as nobody takes it twice in a row.
    rest = rank_V > 2
    assert np.polyfit(np.log(rank_V[rest]), np.log(count_V[rest]), 1)[0] == pytest.approx(-tail, abs=0.1)


def test_sequence_is_a_law_from_item_to_item() -> None:
    def guessed(sequence: float) -> float:
        """How often the next item is the one that most often followed, among other users, the item before."""
        user_E, item_E, _, _ = by_user(world(items=60, events=20, sequence=sequence, drift=1.0, users=2000), "toys")
        before, after, user = item_E[:-1], item_E[1:], user_E[1:]
        within = user_E[1:] == user_E[:-1]
        seen = within & (user % 2 == 0)
        follows_VV = np.bincount(before[seen] * 60 + after[seen], minlength=3600).reshape(60, 60)
        asked = within & (user % 2 == 1)
        return float((follows_VV.argmax(1)[before[asked]] == after[asked]).mean())

    assert guessed(0.6) > guessed(0.0) + 0.15


@pytest.mark.parametrize(
    "changes", [{}, {"items": 40, "tail": 1.0}, {"items": 20, "tail": 0.0, "sequence": 0.5}, {"sequence": 0.9}]
)
def test_nobody_takes_an_item_twice_in_a_row(changes: dict[str, Any]) -> None:
    user_E, item_E, _, _ = by_user(world(**changes), "games")
    assert not ((user_E[1:] == user_E[:-1]) & (item_E[1:] == item_E[:-1])).any()


def test_history_lengths_have_a_long_tail() -> None:
    made = world(users=5000, events={"toys": 3, "games": 12})
    toys, games = (np.unique(numbers(made, name), return_counts=True)[1] for name in ("toys", "games"))
    assert toys.tolist() == [3] * 5000
    assert games.min() >= 3
    assert games.mean() == pytest.approx(12, rel=0.05)
    assert np.median(games) < 0.8 * games.mean()
    assert np.quantile(games, 0.99) > 3.5 * games.mean()


@pytest.mark.parametrize("overlap", [0.0, 0.3, 1.0])
def test_overlap_is_as_asked(overlap: float) -> None:
    made = world(overlap=overlap, users=1000)
    toys, games = (set(numbers(made, name).tolist()) for name in ("toys", "games"))
    assert len(toys & games) == round(1000 * overlap)
    assert len(toys) == len(games) == round(500 + 500 * overlap)
    assert len(toys | games) == 1000


def test_overlap_of_three_domains() -> None:
    made = world(domains=3, events=5, overlap=0.4, users=900)
    present_UD = np.stack([made.true_users[f"present_{name}"].to_numpy() for name in made.world.names], axis=1)
    assert present_UD.sum(0).tolist() == [300 + 2 * 120] * 3
    assert set(present_UD.sum(1).tolist()) == {1, 2, 3}
    for d, name in enumerate(made.world.names):
        assert np.flatnonzero(present_UD[:, d]).tolist() == np.unique(numbers(made, name)).tolist()


def test_times_interleave_and_stay_within_the_world() -> None:
    made = world(days=30, events=10)
    parts = [by_user(made, name) for name in ("toys", "games")]
    user_E, time_E = (np.concatenate([part[place] for part in parts]) for place in (0, 3))
    assert time_E.min() >= 1_577_836_800
    assert time_E.max() < 1_577_836_800 + 30 * 86_400
    toy_E = np.arange(len(user_E)) < len(parts[0][0])
    order = np.lexsort((time_E, user_E))
    within = user_E[order][1:] == user_E[order][:-1]
    changes = (toy_E[order][1:] != toy_E[order][:-1])[within].mean()
    assert 0.3 < changes < 0.6


def test_days_are_the_seconds_rounded_down() -> None:
    exact, rough = world(days=20), world(days=20, resolution="day")
    for name in ("toys", "games"):
        seconds, days = (made.tables[name]["timestamp"].to_numpy() for made in (exact, rough))
        np.testing.assert_array_equal(days, seconds - seconds % 86_400)
        assert exact.tables[name].drop(["timestamp"]).equals(rough.tables[name].drop(["timestamp"]))


def test_ratings_follow_liking() -> None:
    made = world(drift=0.0)
    stars_E = made.tables["games"]["rating"].to_numpy().astype(np.float64)
    assert set(stars_E) == {1, 2, 3, 4, 5}
    assert 3.4 < stars_E.mean() < 4.4
    liking_UC = np.stack(made.true_users["interests_games"].to_numpy())
    truth = made.true_items.filter(np.asarray(made.true_items["domain"]) == "games")
    interest_E = truth["interest"].to_numpy()[numbers(made, "games", "item_id")]
    liking_E = liking_UC[numbers(made, "games"), interest_E]
    assert np.corrcoef(np.log(liking_E), stars_E)[0, 1] > 0.2


def test_mixtures_of_the_truth_are_those_of_the_log() -> None:
    made = world(events=40, drift=0.0, sequence=0.0)
    count_UC = histogram(made, "toys")
    mixture_UC = np.stack(made.true_users["interests_toys"].to_numpy())
    np.testing.assert_allclose(mixture_UC.sum(1), 1, rtol=1e-5)
    expected = (mixture_UC * count_UC.sum(1, keepdims=True)).sum(0)
    np.testing.assert_allclose(count_UC.sum(0), expected, rtol=0.03)
    assert np.corrcoef((count_UC / count_UC.sum(1, keepdims=True)).ravel(), mixture_UC.ravel())[0, 1] > 0.97
