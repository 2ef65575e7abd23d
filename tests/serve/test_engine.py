"""What is answered: the run's own ranking, the newest history at once, and something sensible where little is known."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from crossrec.errors import InputError
from crossrec.serve.ab_rows import table_of
from crossrec.serve.arms import Experiment
from crossrec.serve.asked import AWAY, COLD, Ask, Filters
from crossrec.serve.bundle import Bundles
from crossrec.serve.engine import Engine
from crossrec.serve.events import Event
from crossrec.serve.gather import Gather
from crossrec.serve.keeper import Keeper
from crossrec.serve.store import StoreError, open_store
from crossrec.testing.served import small_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: Bundles(small_run(folder / name, seed)) for name, seed in (("main", 1), ("new", 2))}


class Flaky:
    """A store that can be switched off."""

    def __init__(self, store):
        self.store, self.off, self.calls = store, False, 0

    def __getattr__(self, name):
        def call(*given):
            self.calls += 1
            if self.off:
                raise StoreError("away")
            return getattr(self.store, name)(*given)

        return call


@pytest.fixture
def flaky(tmp_path):
    return Flaky(open_store(f"sqlite:{tmp_path / 'events.db'}"))


@pytest.fixture
def engine(runs, flaky):
    made = Engine(runs, flaky)
    yield made
    flaky.off = False
    made.close()


def event(id, user="u1", item="toys7", domain="toys", **more):
    return Event(user, domain, item, more.pop("time", time.time()), id, **more)


def items(answer):
    return [each.item for each in answer.items]


def ask(engine, user=None, **more):
    return engine.recommend(Ask("r", user, **more))


@pytest.mark.parametrize("domain", ["toys", "games"])
@pytest.mark.parametrize("seen", [True, False])
def test_the_answer_is_the_runs_own_ranking(engine, domain, seen):
    recommender = engine.bundle("main").recommender
    found = ask(engine, "u3", domain=domain, k=5, filters=Filters(seen=seen))
    table = recommender.recommend("u3", domain=domain, k=5, filter_seen=seen)
    assert items(found) == table["item"].to_pylist()
    assert np.allclose([each.score for each in found.items], table["score"].to_pylist(), atol=1e-5)
    assert [each.title for each in found.items] == table["title"].to_pylist()
    assert [each.rank for each in found.items] == [1, 2, 3, 4, 5]
    assert (found.fallback, found.version, found.model) == (None, engine.bundle("main").version, "main")
    assert all("u2i" in each.channels for each in found.items)


def test_an_event_changes_the_next_answer_in_every_domain(engine):
    recommender = engine.bundle("main").recommender
    before = {domain: items(ask(engine, "u1", domain=domain)) for domain in ("toys", "games")}
    own = ask(engine, "u1").events
    assert engine.record([event("e1", item=before["toys"][0]), event("e2", item="games3", domain="games")]) == 2
    after = ask(engine, "u1")
    assert items(after) != before["toys"]
    assert before["toys"][0] not in items(after), "it is seen now"
    assert items(ask(engine, "u1", domain="games")) != before["games"]
    assert after.events == own + 2
    history = [*pairs(engine, "u1"), ("toys", before["toys"][0]), ("games", "games3")]
    table = recommender.recommend("u1", [history], k=10)
    assert items(after) == table["item"].to_pylist()


def pairs(engine, user):
    from crossrec.serve.recall import Known, pairs_of

    bundle = engine.bundle("main")
    return pairs_of(bundle, Known(bundle.user(user), bundle.own_history(bundle.user(user))[0], True))


def test_somebody_whom_only_the_store_knows_is_served_by_his_history(engine):
    engine.record(
        [event("e1", "new one", "toys4"), event("e2", "new one", "no such toy"), event("e3", "new one", "toys5")]
    )
    found = ask(engine, "new one")
    told = ask(engine, history=[("toys", "toys4"), ("toys", "toys5")])
    assert items(found) == items(told)
    assert (found.fallback, found.events, found.passed_over) == (None, 2, 1)
    assert {"toys4", "toys5"}.isdisjoint(items(found))


def test_events_that_the_run_was_trained_with_do_not_count_twice(engine):
    bundle = engine.bundle("main")
    own, times = bundle.own_history(bundle.user("u2"))
    stored = [
        event(
            f"e{at}",
            "u2",
            bundle.named(int(item))[0].id(bundle.named(int(item))[1]),
            bundle.named(int(item))[0].domain,
            time=float(t),
        )
        for at, (item, t) in enumerate(zip(own, times, strict=True))
    ]
    before = ask(engine, "u2")
    engine.record(stored)
    after = ask(engine, "u2")
    assert (items(after), after.events) == (items(before), len(own))
    assert sum(map(len, engine.history("u2", 100)[0].values())) == len(own)


def test_a_stranger_without_events_gets_what_is_popular_and_is_told_so(engine):
    found = ask(engine, "nobody", k=4)
    counts = engine.bundle("main").channels("toys").popularity.count_SV[0]
    assert found.fallback == COLD
    assert [each.score for each in found.items] == sorted(counts, reverse=True)[:4]
    assert {each.channels for each in found.items} == {("popular",)}
    assert ask(engine, history=[("toys", "no such toy")]).fallback == COLD
    assert ask(engine, history=[]).fallback == COLD
    warm = ask(engine, history=[("games", "games3")])
    assert warm.fallback is None, "a game is enough"


def test_a_history_that_is_sent_counts_instead_of_the_known_one(engine):
    history = [("toys", "toys9"), ("games", "games2"), ("toys", "toys10")]
    told = ask(engine, "u5", history=history)
    table = engine.bundle("main").recommender.recommend(histories=[history])
    assert items(told) == table["item"].to_pylist()
    with pytest.raises(InputError, match="no domain"):
        ask(engine, history=[("toy", "toys9")])


def test_filters_hold_inside_the_search(engine):
    everything = items(ask(engine, "u1", k=30))
    denied = everything[:5]
    assert items(ask(engine, "u1", k=3, filters=Filters(deny=[*denied, "nothing"]))) == everything[5:8]
    allowed = sorted(everything[-3:])
    assert items(ask(engine, "u1", filters=Filters(allow=[*allowed, "nothing"]))) == everything[-3:]
    assert items(ask(engine, "u1", filters=Filters(allow=[]))) == []
    assert items(ask(engine, "nobody", filters=Filters(allow=allowed, deny=allowed[:1]), k=9)).count(allowed[0]) == 0
    seen = [item for domain, item in pairs(engine, "u1") if domain == "toys"]
    assert set(seen).isdisjoint(everything)
    assert set(items(ask(engine, "u1", k=30, filters=Filters(seen=False)))) >= set(seen)


def test_without_a_store_what_the_run_knows_is_answered_and_it_recovers(engine, flaky, monkeypatch):
    monkeypatch.setattr("crossrec.serve.keeper.REST", 60.0)
    engine.record([event("e1", "u1"), event("e2", "stored")])
    with_event = items(ask(engine, "u1"))
    flaky.off = True
    away = ask(engine, "u1")
    assert away.fallback == AWAY
    assert items(away) == engine.bundle("main").recommender.recommend("u1")["item"].to_pylist()
    assert ask(engine, "stored").fallback == AWAY
    calls = flaky.calls
    for _ in range(5):
        ask(engine, "u1")
    assert flaky.calls == calls, "a store that failed is left alone for a moment"
    with pytest.raises(StoreError):
        engine.record([event("e3")])
    assert engine.history("u1", 9)[1] == AWAY
    assert engine.users("", 9)[1] == AWAY
    with pytest.raises(StoreError):
        engine.history("stored", 9)
    flaky.off = False
    assert ask(engine, "u1").fallback == AWAY
    engine.keeper._rests_until = time.monotonic()
    back = ask(engine, "u1")
    assert (back.fallback, items(back)) == (None, with_event)
    assert engine.record([event("e3")]) == 1


def test_one_call_tries_a_store_that_rests_and_the_others_do_not_wait():
    class Slow:
        calls = 0

        def ping(self):
            Slow.calls += 1
            if Slow.calls > 1:
                time.sleep(0.2)
            raise StoreError("away")

    keeper = Keeper(Slow())
    keeper._rests_until = time.monotonic() - 1
    with pytest.raises(StoreError):
        keeper.ask(lambda store: store.ping())
    keeper._rests_until = time.monotonic() - 1
    failed = []

    def call():
        try:
            keeper.ask(lambda store: store.ping())
        except StoreError:
            failed.append(time.monotonic())

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 5
    assert Slow.calls == 2


def test_arms_are_answered_by_their_runs_and_what_they_show_is_logged(runs, flaky):
    engine = Engine(runs, flaky, experiment=Experiment("home", {"main": 1, "new": 1}))
    answers = {f"u{u}": engine.recommend(Ask(f"r{u}", f"u{u}", page="start")) for u in range(20)}
    assert {answer.arm for answer in answers.values()} == {"main", "new"}
    for user, answer in answers.items():
        assert answer.arm == engine.experiment.arm(user) == answer.model
        assert answer.version == runs[answer.arm].now.version
    looked = engine.recommend(Ask("looked", "u1", model="new"))
    assert (looked.arm, looked.model) == (None, "new")
    assert engine.recommend(Ask("told", history=[("toys", "toys1")])).arm is None
    first = answers["u1"]
    engine.record([event("click", "u1", first.items[0].item, request=first.request)])
    engine.flush()
    shown = flaky.store.exposures()[0]
    assert {each.request for each in shown} == {f"r{u}" for u in range(20)}
    mine = next(each for each in shown if each.user == "u1")
    assert (mine.arm, mine.items, mine.page, mine.experiment) == (first.arm, tuple(items(first)), "start", "home")
    rows = table_of(flaky.store, "home").to_pylist()
    assert sum(row["clicks"] for row in rows) == 1
    flaky.off = True
    assert engine.recommend(Ask("later", "u1")).items
    flaky.off = False
    engine.close()
    with open_store(f"sqlite:{flaky.store.path}") as again:
        assert "later" in {each.request for each in again.exposures()[0]}, "what waits is written down at the end"


def test_why_an_item_the_users_own_events(engine):
    found = ask(engine, "u1")
    why = engine.explain(Ask("r", "u1"), found.items[0].item)
    assert (why.rank, why.channels) == (1, found.items[0].channels)
    assert why.score == pytest.approx(found.items[0].score, abs=1e-4)
    own = pairs(engine, "u1")
    assert [(each.domain, each.item) for each in why.triggers] == own[::-1]
    recommender = engine.bundle("main").recommender
    last = why.triggers[0]
    without = recommender.score(["u1"], [why.item]) - why.score + last.effect
    told = recommender.recommend("u1", [own[:-1]], allow=[why.item], filter_seen=False)["score"].to_pylist()
    assert told[0] == pytest.approx(why.score - last.effect, abs=1e-4)
    assert without == pytest.approx(last.effect, abs=1e-3)
    similar = {each.item: each.score for each in engine.similar("toys", why.item, 29)[2]}
    for age, each in enumerate(why.triggers):
        if each.domain == "toys":
            assert each.weight == pytest.approx(similar[each.item] * 0.9**age, abs=1e-4)
    seen = engine.explain(Ask("r", "u1"), own[0][1] if own[0][0] == "toys" else own[-1][1])
    assert (seen.rank, seen.channels) == (None, ())
    cold = engine.explain(Ask("r", "nobody"), "toys1")
    assert (cold.score, cold.triggers, cold.fallback) == (None, [], COLD)


def test_what_others_did_is_asked_of_who_works_it_out(runs, flaky):
    engine = Engine(runs, flaky, evidence=lambda bundle, history, domain, item: {"people": 12, "item": item})
    assert engine.explain(Ask("r", "u1"), "toys1").evidence == {"people": 12, "item": "toys1"}
    engine.close()


def test_similar_items_are_those_of_the_recommender(engine):
    table = engine.bundle("main").recommender.similar("toys4", k=5)
    _, domain, found = engine.similar(None, "toys4", 5)
    assert domain == "toys"
    assert [each.item for each in found] == table["similar"].to_pylist()
    assert np.allclose([each.score for each in found], table["score"].to_pylist(), atol=1e-5)


def test_histories_come_with_titles_and_say_where_they_are_from(engine):
    engine.record(
        [event("e1", "u1", "toys0"), event("e2", "u1", "unknown thing"), event("e3", "u1", kind="impression")]
    )
    domains, fallback = engine.history("u1", 50)
    assert fallback is None
    assert domains.keys() == {"toys", "games"}
    first, second = domains["toys"][-2:]
    assert (first.item, first.known, first.stored) == ("toys0", True, True)
    assert first.title.startswith("<script>")
    assert (second.item, second.known, second.title) == ("unknown thing", False, None)
    assert not domains["toys"][0].stored
    assert [len(events) for events in engine.history("u1", 1)[0].values()] == [1, 1]
    assert engine.history("nobody", 5) is None


def test_users_of_run_and_store_come_in_one_order(engine):
    engine.record([event("e1", "a"), event("e2", "u10x"), event("e3", "u1")])
    found, start = [], ""
    while page := engine.users(start, 11)[0]:
        found += page
        start = page[-1][0]
    assert [name for name, _ in found] == sorted({"a", "u10x", *(f"u{u}" for u in range(60))})
    assert dict(found)["u1"]
    assert not dict(found)["u10x"]


def test_what_cannot_be_asked_is_refused(engine):
    for wrong, said in [
        (lambda: ask(engine), "Say for whom"),
        (lambda: ask(engine, "u1", domain="toy"), "no domain"),
        (lambda: ask(engine, "u1", model="other"), "no model"),
        (lambda: engine.similar("toys", "nothing", 3), "Unknown item"),
        (lambda: engine.explain(Ask("r", "u1"), "nothing"), "Unknown item"),
        (lambda: engine.record([event("e", domain="toyz")]), "Did you mean 'toys'"),
        (lambda: engine.record([event("e", user="")]), "0 characters"),
    ]:
        with pytest.raises(InputError, match=said):
            wrong()


def test_many_at_once_are_answered_as_each_alone(engine):
    users = [f"u{u}" for u in range(24)] + ["nobody", "somebody"]
    engine.record([event(f"e{u}", f"u{u}", f"toys{u}") for u in range(0, 24, 2)])
    alone = {user: items(ask(engine, user)) for user in users}
    sizes, found = [], {}
    waiting = engine._gather._waiting

    def begin(size):
        sizes.append(size)
        while len(sizes) == 1 and len(waiting) < len(users) - size:
            time.sleep(0.001)

    engine.meter.batch = begin
    threads = [
        threading.Thread(target=lambda user=user: found.update({user: items(ask(engine, user))})) for user in users
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone
    assert sum(sizes) == len(users)
    assert len(sizes) < len(users), "none waited for the others to finish"


def test_what_goes_wrong_for_one_goes_wrong_for_none_of_the_others():
    def work(asked):
        return [ValueError("odd") if one % 2 else one for one in asked]

    gather = Gather(work)
    assert gather(2) == 2
    with pytest.raises(ValueError, match="odd"):
        gather(3)
    assert gather.together([4, 6]) == [4, 6]
    broken = Gather(lambda asked: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken(1)
    with pytest.raises(ZeroDivisionError):
        broken(1)
