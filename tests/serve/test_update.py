"""An update of a planted world: it learns what is new, keeps what was, and what is bad changes nothing."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from crossrec.cli import main
from crossrec.data.dataset import Dataset
from crossrec.data.splits import LeaveLastOut
from crossrec.errors import InputError
from crossrec.evaluation.run import evaluate_run
from crossrec.models.sasrec import SASRec
from crossrec.recommender import Recommender
from crossrec.serve import versions
from crossrec.serve.bundle import Bundles
from crossrec.serve.events import Event
from crossrec.serve.store import open_store
from crossrec.serve.update import update
from crossrec.serve.update_place import alone
from crossrec.serve.update_report import UpdateConfig, UpdateRefused
from crossrec.testing.law import law_frames
from crossrec.testing.served import HOSTILE
from crossrec.train.fit import fit

NEW = [f"toys{30 + n}" for n in range(4)]
"""Toys that come after the training: one follows the other, the last is followed by the first."""
LATER = 1_600_000_000
QUICK = UpdateConfig(epochs=4, lr=0.01, least=10)


def new_events(users=60, each=6, start=LATER):
    """Known users but every fourth, and ten strangers, go through the new toys, each a round and a half."""
    who = [f"u{u}" for u in range(users) if u % 4] + [f"stranger{u}" for u in range(10)]
    return [
        Event(user, "toys", NEW[(at + step) % 4], float(start + 1000 * step + at), f"{start}-{user}-{step}")
        for at, user in enumerate(who)
        for step in range(each)
    ]


def write_log(path, events):
    rows = ["user_id,item_id,domain,timestamp"]
    path.write_text("\n".join([*rows, *(f"{e.user},{e.item},{e.domain},{int(e.time)}" for e in events)]) + "\n")
    return str(path)


def state_of(folder):
    """Every file of a run but what lies beside its versions."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def without_lock(state):
    return {name: content for name, content in state.items() if not name.endswith(".update.lock")}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "run"
    frames = law_frames()
    items = {"item_id": ["toys0", "games0"], "title": [HOSTILE, "Chess"]}
    split = LeaveLastOut("toys").apply(Dataset.from_frames(frames, time="timestamp", items=items))
    model = SASRec(dim=32, max_len=20, domains="merged", guard="none", dropout=0.0)
    fit(model, split, epochs=30, lr=0.01, seed=1).save(folder)
    return folder


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture(scope="module")
def updated(made, tmp_path_factory):
    """The run with an update published, and its report."""
    place = tmp_path_factory.mktemp("updated")
    run = shutil.copytree(made, place / "run")
    before = state_of(run)
    titles = place / "items.csv"
    titles.write_text("item_id,domain,title\ntoys30,toys,A new toy\ntoys0,toys,Another title\n")
    report = update(run, write_log(place / "log.csv", new_events()), config=QUICK, items=titles)
    assert {name: state_of(run)[name] for name in before} == before, "the old run is left as it was"
    return run, report


def test_an_update_beats_the_old_run_on_new_events_and_keeps_what_was_known(updated):
    _, report = updated
    assert not report.refused
    newest = next(each for each in report.held if each.events == "newest")
    assert newest.users >= 10
    assert newest.before == 0, "the old run cannot recommend what it does not know"
    assert newest.after > 0.5
    known = next(each for each in report.held if each.events == "known" and each.domain == "toys")
    assert known.after > 0.85 * known.before > 0.4


def test_new_users_and_items_take_rows_behind_the_old_ones(made, updated):
    old, new = Recommender.load(made), Recommender.load(versions.folder_of(updated[0], "update-1"))
    assert new.data.users.text[: old.data.num_users].equals(old.data.users.text)
    for name, ids in old.data.items.items():
        assert new.data.items[name].text[: len(ids)].equals(ids.text)
    assert (updated[1].users["new"], updated[1].items) == (10, {"toys": 4, "games": 0})
    assert new.data.num_interactions == old.data.num_interactions + len(new_events())
    titles = new.data.titles["toys"]["title"].to_pylist()
    place = new.data.items["toys"].index(["toys0", "toys30", "toys31"]).tolist()
    assert [titles[at] for at in place] == [HOSTILE, "A new toy", None], "a known title stays"


def test_new_items_are_recommended_after_events_that_name_them(updated):
    new = Recommender.load(versions.folder_of(updated[0], "update-1"))
    best = new.recommend(histories=[{"toys": ["toys30"]}, {"toys": ["toys32"]}], k=1).column("item").to_pylist()
    assert best == ["toys31", "toys33"]
    assert new.recommend(users=["stranger3"], k=3).num_rows == 3


def test_the_version_is_published_and_switched_to_and_can_be_evaluated(updated):
    run, report = updated
    assert (report.version, report.switched, versions.pointed(run)) == ("update-1", True, "update-1")
    folder = versions.folder_of(run, "update-1")
    versions.verify(folder)
    assert Bundles(run).now.name == "update-1"
    newest = next(each for each in report.held if each.events == "newest")
    assert evaluate_run(folder).summary()["ndcg@10"] == pytest.approx(newest.after)
    told = json.loads((folder / "run.json").read_text())["update"]
    assert (told["version"], told["base"], told["forced"]) == ("update-1", "", False)
    assert (folder / "metrics.jsonl").read_text().count("\n") == 4


def test_known_rows_are_the_same_bits_before_training(run, tmp_path):
    log = write_log(tmp_path / "log.csv", new_events())
    update(run, log, config=UpdateConfig(epochs=1, lr=1e-30, least=1), force=True)
    old, new = Recommender.load(run), Recommender.load(versions.folder_of(run, "update-1"))
    for name in old.data.domains:
        was, now = old.item_vectors(name)[1], new.item_vectors(name)[1]
        assert np.array_equal(now[: len(was)], was)
    weights = dict(old.model.named_parameters())
    for name, value in new.model.named_parameters():
        if not name.endswith("table.weight"):
            assert torch.equal(value, weights[name]), name


def test_the_same_seed_gives_the_same_version(run, tmp_path):
    log = write_log(tmp_path / "log.csv", new_events())
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        report = update(run, log, config=QUICK, out=folder, seed=seed)
        assert (report.folder, report.switched) == (str(folder), False)
    assert not (run / "versions").exists(), "what is written elsewhere is not published"
    a, b, c = (versions.fingerprint(folder) for folder in folders)
    assert a == b != c
    with pytest.raises(InputError, match="is there already"):
        update(run, log, config=QUICK, out=folders[0])


def poisoned():
    """A flood: every known user clicks the same two toys again and again."""
    rng = np.random.default_rng(0)
    return [
        Event(f"u{u}", "toys", f"toys{rng.integers(2)}", float(LATER + 60 * step + u), f"{u}-{step}")
        for u in range(60)
        for step in range(40)
    ]


@pytest.mark.parametrize(
    ("events", "config", "words"),
    [
        (poisoned(), UpdateConfig(epochs=8, lr=0.01), "on the known events fell"),
        (new_events(), UpdateConfig(lr=3.0), r"\(drift\)|\(kept\)"),
        (new_events(users=8, each=5), UpdateConfig(lr=0.01, least=30), "30 are needed to judge"),
    ],
    ids=["poison", "ruinous lr", "too few to judge"],
)
def test_what_a_guard_refuses_changes_nothing(run, tmp_path, events, config, words):
    log = write_log(tmp_path / "log.csv", events)
    bundles, before = Bundles(run), state_of(run)
    with pytest.raises(UpdateRefused, match=words) as refused:
        update(run, log, config=config)
    assert refused.value.report.folder is None
    assert without_lock(state_of(run)) == before
    assert not bundles.look()
    report = update(run, log, config=config, force=True)
    assert report.refused
    assert bundles.look()
    assert bundles.now.recommender.info["update"]["forced"]


def test_events_of_a_store_are_read_once_and_again_after_a_refusal_and_a_rollback(run, url):
    store = open_store(url)
    store.append(new_events()[:200])
    store.append(new_events()[100:])
    shown = [Event("u1", "toys", "toys1", LATER, "shown", kind="impression")]
    store.append([*shown, Event("u1", "books", "b1", LATER, "elsewhere")])
    with pytest.raises(UpdateRefused):
        update(run, url, config=UpdateConfig(least=1000))
    first = update(run, url, config=QUICK)
    assert first.events["new"] == len(new_events())
    assert (first.events["impressions"], first.events["events of other domains"]) == (1, 1)
    nothing = update(run, url, config=QUICK)
    assert (nothing.folder, nothing.events) == (None, {"new": 0})
    store.append(new_events(start=LATER + 100_000))
    second = update(run, url, config=QUICK)
    assert (second.version, second.base, second.events["new"]) == ("update-2", "update-1", len(new_events()))
    assert second.users["new"] == 0
    assert "password" not in json.dumps(second.plain())
    assert versions.rollback(run) == "update-1"
    third = update(run, url, config=QUICK)
    assert (third.version, third.base, third.events["new"]) == ("update-3", "update-1", len(new_events()))
    store.close()


def test_old_versions_are_removed_but_for_the_one_to_go_back_to(run, tmp_path):
    for number in (1, 2):
        log = write_log(tmp_path / f"{number}.csv", new_events(start=LATER + 100_000 * number))
        assert update(run, log, config=QUICK).removed == ()
    assert versions.prune(run, 5) == []
    log = write_log(tmp_path / "3.csv", new_events(start=LATER + 300_000))
    report = update(run, log, config=QUICK, keep_versions=1)
    assert report.removed == ("update-1",), "update-2 is the one to go back to"
    left = {path.name for path in (run / "versions").iterdir() if path.is_dir()}
    assert left == {"update-2", "update-3"}
    assert versions.rollback(run) == "update-2"
    with pytest.raises(InputError, match="At least one"):
        versions.prune(run, 0)


def test_what_is_known_already_counts_once(run, tmp_path):
    frames = law_frames()["toys"]
    known = [
        Event(user, "toys", item, float(time), "x")
        for user, item, time in zip(frames["user_id"], frames["item_id"], frames["timestamp"].tolist(), strict=True)
    ]
    late = [Event("u5", "toys", "toys3", 1_400_000_000.0, "late")]
    nothing = update(run, write_log(tmp_path / "known.csv", known), config=QUICK)
    assert nothing.events == {"new": 0, "known already": len(known)}
    log = write_log(tmp_path / "log.csv", known + new_events() + new_events()[:7] + late)
    report = update(run, log, config=QUICK)
    assert report.events["new"] == len(new_events()) + 1
    assert report.events["known already"] == len(known) + 7
    assert report.events["late"] == 1, "older than what is known of u5: it takes its place in time"
    new = Recommender.load(versions.folder_of(run, report.version)).data
    first = new.item_E[new.offset_U1[new.users.index(["u5"])[0]]] - new.catalogue.block("toys").start
    assert new.items["toys"].ids([first]).to_pylist() == ["toys3"]


def test_two_updates_at_once_and_a_run_of_ratings_are_refused(run, tmp_path):
    log = write_log(tmp_path / "log.csv", new_events())
    with alone(run), pytest.raises(InputError, match="another update of it is at work"):
        update(run, log, config=QUICK)
    config = json.loads((run / "config.json").read_text())
    config["train"]["task"] = "ratings"
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="predicts ratings cannot be updated"):
        update(run, log, config=QUICK)


def test_a_killed_update_leaves_the_old_version_served_and_the_next_one_works(run, tmp_path):
    log = write_log(tmp_path / "log.csv", new_events())
    before = state_of(run)
    command = [sys.executable, "-m", "crossrec", "update", str(run), "--events", log, "--set", "epochs=30", "--force"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while "epoch" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert without_lock(state_of(run)) == before
    assert Bundles(run).now.name == ""
    half = run / "versions" / ".update-1.4194304-0123abcd"
    half.mkdir()
    (half / "weights.safetensors").write_text("written by one that was killed a little later")
    report = update(run, log, config=QUICK)
    assert versions.pointed(run) == Bundles(run).now.name == report.version
    assert not half.exists()


MODELS = {
    "pop": {},
    "itemknn": {},
    "bprmf": {"row": "user", "dim": 8},
    "gru4rec": {"dim": 8},
    "sasrec": {"dim": 8, "domains": "merged"},
    "twotower": {"dim": 8},
    "ddghm": {"dim": 8},
    "lightgcn": {"dim": 8},
    "ncfmlp": {"dim": 8},
}


@pytest.mark.parametrize("name", MODELS)
def test_other_kinds_of_models_take_new_users_and_items_in(tmp_path, name):
    split = LeaveLastOut("toys").apply(Dataset.from_frames(law_frames(), time="timestamp"))
    fit(name, split, model_settings=MODELS[name], epochs=2, seed=1).save(tmp_path / "run")
    log = write_log(tmp_path / "log.csv", new_events())
    report = update(tmp_path / "run", log, config=UpdateConfig(epochs=4, lr=0.02, least=10), force=True)
    newest = next(each for each in report.held if each.events == "newest")
    assert newest.before == 0 < newest.after
    new = Bundles(tmp_path / "run").now.recommender
    assert new.recommend(users=["stranger1"], k=3).num_rows == 3
    again = update(tmp_path / "run", write_log(tmp_path / "b.csv", new_events(start=LATER + 100_000)), force=True)
    assert (again.base, again.version, again.users["new"]) == ("update-1", "update-2", 0)


def test_a_running_server_takes_the_version_and_goes_back(run, tmp_path):
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    store = f"sqlite:{tmp_path / 'events.db'}"
    command = [sys.executable, "-m", "crossrec", "serve", str(run), "--port", "0", "--store", store]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = http.client.HTTPConnection("127.0.0.1", int(process.stderr.readline().rpartition(":")[2]), timeout=20)

        def ask(method, path, body=None):
            line.request(method, path, json.dumps(body), {"content-type": "application/json"})
            return json.loads(line.getresponse().read())

        def served(name):
            end = time.monotonic() + 20
            while ask("GET", "/version")["models"]["main"]["name"] != name:
                assert time.monotonic() < end, f"the switch to {name!r} did not come"
                time.sleep(0.05)

        shown = [{"user": e.user, "domain": e.domain, "item": e.item, "id": e.id, "time": e.time} for e in new_events()]
        assert ask("POST", "/events", {"events": shown})
        asked = {"history": [{"domain": "toys", "item": "toys30"}], "k": 1}
        assert ask("POST", "/recommend", asked)["fallback"] == "cold"
        known = ask("POST", "/recommend", {"user": "u1", "k": 1})
        update(run, store, config=QUICK)
        served("update-1")
        assert [each["item"] for each in ask("POST", "/recommend", asked)["items"]] == ["toys31"]
        assert ask("POST", "/recommend", {"user": "u1", "k": 1})["events"] == known["events"] + 6, "none counts twice"
        versions.rollback(run)
        served("")
    finally:
        process.kill()
        process.communicate()


def test_the_command_end_to_end(run, tmp_path, capsys):
    store = open_store(f"sqlite:{run / 'events.db'}")
    store.append(new_events())
    store.close()
    settings = ["--set", "epochs=4", "--set", "lr=0.01", "--set", "least=10"]

    def call(*words):
        with pytest.raises(SystemExit) as left:
            main([*map(str, words)])
        out, err = capsys.readouterr()
        return left.value.code, out, err

    code, out, err = call("update", run, *settings, "--set", "least=1000")
    assert code == 1
    assert "Refused: Only" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert versions.pointed(run) == ""
    code, out, _ = call("update", run, *settings, "--json")
    assert code == 0
    assert json.loads(out)["version"] == "update-1"
    code, out, _ = call("update", run)
    assert (code, "nothing was changed" in out) == (0, True)
    code, out, _ = call("update", run, "--rollback")
    assert (code, versions.pointed(run)) == (0, "")
    assert "serves the run itself again" in out
    for words in (["--events", tmp_path / "none.csv"], ["--set", "epoch=3"], ["--rollback", "--force"]):
        code, _, err = call("update", run, *words)
        assert code == 2
        assert len(err.splitlines()) == 1
