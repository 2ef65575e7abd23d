"""What is told of others is told of ten or more; categories as numbers; and the planted world of the service."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.simulate import simulate
from crossrec.data.splits import LeaveLastOut
from crossrec.data.worlds import World
from crossrec.errors import InputError
from crossrec.models.sasrec import SASRec
from crossrec.serve.asked import Ask
from crossrec.serve.bundle import Bundle, Bundles
from crossrec.serve.engine import Engine
from crossrec.serve.explain import (
    FEWEST,
    Crowd,
    Evidence,
    categories_of,
    cocoon,
    divergence,
    entropy,
    shares_of,
    shares_of_people,
    wide,
)
from crossrec.serve.store import open_store
from crossrec.testing.served import small_run
from crossrec.train.fit import fit


def test_several_categories_split_the_mass_and_of_a_path_the_second_level_counts():
    assert categories_of("Toys > Building > Bricks | Gifts") == ["Building", "Gifts"]
    assert categories_of("Toys") == ["Toys"]
    assert categories_of(" | > ") == categories_of(None) == []
    found = shares_of(["a|b", "b", None, "c"])
    assert (found.items, found.known) == (4, 3)
    assert found.shares == {"b": 0.5, "c": pytest.approx(1 / 3), "a": pytest.approx(1 / 6)}
    assert list(found.shares) == ["b", "c", "a"]
    assert shares_of(["a", "b"], [3.0, 1.0]).shares == {"a": 0.75, "b": 0.25}
    assert shares_of([None, None]).shares == {}


def test_the_numbers_of_a_list():
    even = {"a": 0.5, "b": 0.25, "c": 0.21, "d": 0.04}
    assert entropy({"a": 0.5, "b": 0.25, "c": 0.25}) == 1.5
    assert (cocoon(even), wide(even)) == (0.5, 3)
    assert (entropy({}), cocoon({}), wide({})) == (0, 0, 0)
    assert divergence(even, even) == pytest.approx(0)
    assert divergence({"a": 1.0}, {"b": 1.0}) == 1
    # 3/4 a, 1/4 b between: H(3/4, 1/4) - H(1/2, 1/2) / 2
    assert divergence({"a": 1.0}, {"a": 0.5, "b": 0.5}) == pytest.approx(2 - 0.75 * math.log2(3) - 0.5)


def world_of(histories: dict[str, dict[str, list[int]]]) -> Dataset:
    """User -> domain -> numbers of items."""
    frames = {}
    for domain in ("games", "toys"):
        rows = [(user, number) for user, each in histories.items() for number in each.get(domain, [])]
        frames[domain] = {
            "user_id": [user for user, _ in rows],
            "item_id": [f"{domain}{number}" for _, number in rows],
            "timestamp": list(range(len(rows))),
        }
    return Dataset.from_frames(frames, time="timestamp")


def ids(data: Dataset, *named: tuple[str, int]) -> np.ndarray:
    return np.array(
        [data.catalogue.block(domain).start + int(data.items[domain].index([f"{domain}{n}"])[0]) for domain, n in named]
    )


def crowd_of(people: int, own_toys: tuple[int, ...] = ()) -> Crowd:
    """So many people who share game 0 with "self" and have toy 1; as many others who have game 2 and toy 3 alone."""
    alike = {f"a{n}": {"games": [0], "toys": [1]} for n in range(people)}
    others = {f"b{n}": {"games": [2], "toys": [3]} for n in range(people)}
    return Crowd(world_of({"self": {"games": [0, 5], "toys": list(own_toys)}, **alike, **others}))


def test_nothing_is_told_of_fewer_than_ten_people():
    few, enough = crowd_of(FEWEST - 1), crowd_of(FEWEST)
    assert few.alike(ids(few.data, ("games", 0)), "games", "toys") is None
    found = enough.alike(ids(enough.data, ("games", 0)), "games", "toys")
    assert len(found.person_M) == FEWEST == 10
    assert found.weight_M.sum() == pytest.approx(1)
    toy_1, toy_3 = ids(enough.data, ("toys", 1), ("toys", 3)).tolist()
    assert (enough.have(found, toy_1), enough.have(found, toy_3)) == (10, 0)
    assert enough.share(toy_1) == 0.5


def test_nobody_is_like_themselves():
    crowd = crowd_of(FEWEST, own_toys=(4,))
    history = ids(crowd.data, ("games", 0), ("games", 5), ("toys", 4))
    found = crowd.alike(history, "games", "toys")
    own = int(crowd.data.users.index(["self"])[0])
    assert own not in crowd._user_P[found.person_M]
    stranger = crowd.alike(history[:2], "games", "toys")
    assert own in crowd._user_P[stranger.person_M]


def test_the_most_alike_come_first_and_rare_items_weigh_more():
    """By hand, 22 people: game 0 has 11, weight log(1 + 22/11); game 9 has 11 as well; both together win by a root of two."""
    both = {"both": {"games": [0, 9], "toys": [1]}}
    rest = {f"u{n}": {"games": [0 if n < 10 else 9], "toys": [1]} for n in range(20)}
    crowd = Crowd(world_of({**rest, **both, "none": {"games": [7], "toys": [1]}}))
    found = crowd.alike(ids(crowd.data, ("games", 0), ("games", 9)), "games", "toys")
    assert crowd.data.users.ids(crowd._user_P[found.person_M[:1]]).to_pylist() == ["both"]
    assert found.weight_M[0] / found.weight_M[1] == pytest.approx(math.sqrt(2))
    assert len(found.person_M) == 21


def test_the_sample_is_bounded_and_evenly_spread():
    data = world_of({f"u{n:02}": {"games": [0], "toys": [n]} for n in range(30)})
    crowd = Crowd(data, sample=10)
    assert crowd._user_P.tolist() == list(range(0, 30, 3))
    assert len(crowd.alike(ids(data, ("games", 0)), "games", "toys").person_M) == 10


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.load(small_run(tmp_path_factory.mktemp("runs") / "main"))


def test_evidence_is_of_many_and_names_nobody(bundle):
    evidence = Evidence()
    history = [("games", f"games{n}") for n in range(6)]
    for item in bundle.shelf("toys").ids.to_pylist()[:12]:
        found = evidence(bundle, history, "toys", item)
        (told,) = found["domains"]
        assert told["domain"] == "games"
        assert told["people"] >= found["fewest"] == 10
        assert told["have"] is None or told["have"] == 0 or told["have"] >= 3
        assert told["share"] is None or told["share"] == told["have"] / told["people"]
        names = set(bundle.recommender.data.users.text.to_pylist())
        assert not names & set(json.dumps(found).split('"'))
    assert evidence(bundle, [], "toys", "toys1") is None
    assert evidence.crowd(bundle) is evidence.crowd(bundle)


def test_categories_of_people_count_the_more_alike_more(bundle):
    """Against the sum written out: the weight of a person times the person's own distribution."""
    evidence, shelf = Evidence(), bundle.shelf("toys")
    crowd, data = evidence.crowd(bundle), bundle.recommender.data
    (alike,) = evidence.people(bundle, [("games", f"games{n}") for n in range(6)], "toys")
    wanted: dict[str, float] = {}
    for person, weight in zip(alike.person_M, alike.weight_M, strict=True):
        mine = data.item_E[data.offset_U1[person] : data.offset_U1[person + 1]] - shelf.first
        kinds = [shelf.category(int(place)) for place in mine if 0 <= place < len(shelf)]
        for kind in kinds:
            wanted[kind] = wanted.get(kind, 0) + weight / len(kinds)
    assert shares_of_people(bundle, crowd, alike, "toys").shares == pytest.approx(wanted)


def planted(domains: str):
    """Two interests, the same for both domains but of 5% of the users; the run, and 20 to 40 cold users with theirs."""
    world = World(
        domains=("toys", "games"), users=300, items=40, events=8, overlap=0.8, transfer=1.0, interests=2,
        drift=0.0, tail=0.5, outliers=0.05, sequence=0.0, seed=3,
    )  # fmt: skip
    made = simulate(world)
    data = Dataset.from_frames(made.tables, time="timestamp", items=made.items)
    settings = {"lr": 1e-2, "batch": 64, "negatives": 32, "epochs": 25, "first_eval": 25}
    model = SASRec(dim=16, max_len=16, domains=domains, scale=12.0)
    run = fit(model, LeaveLastOut("toys").apply(data), seed=1, **settings)
    users = made.true_users.to_pylist()
    decided = [each for each in users if not (each["present_toys"] or each["outlier"])]
    cold = {
        each["user_id"]: int(np.argmax(each["interests_toys"])) for each in decided if max(each["interests_toys"]) > 0.9
    }
    assert 20 <= len(cold) <= 40
    return run, cold


def matching(run, cold, folder) -> list[float]:
    """Per interest, the share of it in the first ten items that its cold users are served."""
    run.save(folder)
    engine = Engine({"main": Bundles(folder)}, open_store(f"sqlite:{folder / 'events.db'}"))
    shares: dict[int, list[float]] = {0: [], 1: []}
    for user, interest in cold.items():
        listed = shares_of([each.category for each in engine.recommend(Ask("r", user)).items])
        shares[interest].append(listed.shares.get(f"interest {interest}", 0.0))
    engine.close()
    return [float(np.mean(of_one)) for of_one in shares.values()]


def test_a_cold_user_is_served_the_matching_category_across_domains_and_not_by_the_target_alone(tmp_path):
    crossing = matching(*planted("merged"), tmp_path / "merged")
    alone = matching(*planted("target"), tmp_path / "target")
    assert min(crossing) > 0.7
    assert sum(alone) / 2 == pytest.approx(0.5)  # the same list for everybody: what one interest gains the other loses


@pytest.fixture
def client(bundle, tmp_path_factory):
    testing = pytest.importorskip("fastapi.testclient", reason="the extra serve is not installed")
    from crossrec.serve.app import create_app

    folder = tmp_path_factory.mktemp("served")
    bundle.recommender.save(folder / "run")
    engine = Engine({"main": Bundles(folder / "run")}, open_store(f"sqlite:{folder / 'e.db'}"), evidence=Evidence())
    with testing.TestClient(create_app(engine), base_url="http://127.0.0.1") as opened:
        yield opened


def test_the_paths_of_the_page(client):
    top = client.post("/recommend", json={"user": "u1", "k": 1}).json()["items"][0]
    got = client.get("/explain", params={"user": "u1", "item": top["item"]}).json()
    why = client.post("/explain", json={"user": "u1", "item": top["item"]}).json()
    assert {**why, "request": ""} == {**got, "request": ""}
    assert why["evidence"]["fewest"] == 10
    history = [{"domain": "games", "item": f"games{n}"} for n in (1, 2, 3)] + [{"domain": "games", "item": "unheard"}]
    told = client.post("/explain", json={"history": history, "item": "toys7"}).json()
    assert [each["item"] for each in told["triggers"]] == ["games3", "games2", "games1"]
    found = client.post("/categories", json={"history": history, "k": 12}).json()
    assert (found["recommended"]["items"], found["history"]["games"]["items"], found["history"]["toys"]["items"]) == (
        12,
        3,
        0,
    )
    assert sum(each["share"] for each in found["recommended"]["shares"]) == pytest.approx(1)
    assert found["named"][0] == {
        "domain": "games", "item": "games1", "title": "Title of games 1", "category": "kind 1", "known": True,
    }  # fmt: skip
    assert found["named"][3]["known"] is False
    assert found["people"][0]["people"] >= 10
    listed = {each["category"]: each["share"] for each in found["recommended"]["shares"]}
    assert found["width"]["entropy"] == pytest.approx(entropy(listed))
    assert found["width"]["from_history"] is None
    known = client.post("/categories", json={"user": "u1"}).json()
    assert (known["named"], known["history"]["toys"]["items"] > 0) == ([], True)
    for body in ({}, {"history": [{"domain": "moon", "item": "x"}]}, {"user": "u1", "domain": "moon"}):
        assert client.post("/categories", json=body).status_code == 422
    assert client.post("/explain", json={"user": "u1", "item": "unheard"}).status_code == 422


def test_an_unknown_domain_is_an_error(bundle):
    with pytest.raises(InputError, match="moon"):
        Evidence().people(bundle, [("games", "games1")], "moon")
