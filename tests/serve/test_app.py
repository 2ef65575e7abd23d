"""The HTTP service: its paths, its limits, and what it never says."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from crossrec.errors import InputError
from crossrec.serve.arms import Experiment
from crossrec.serve.bundle import Bundles
from crossrec.serve.engine import Engine
from crossrec.serve.limits import LOCAL, Limits
from crossrec.serve.store import StoreError, open_store
from crossrec.testing.served import small_run

testing = pytest.importorskip("fastapi.testclient", reason="the extra serve is not installed")

from crossrec.serve.app import create_app  # noqa: E402 - after the extra was looked for
from crossrec.serve.metrics import Metrics  # noqa: E402 - as above


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return {"main": Bundles(small_run(tmp_path_factory.mktemp("runs") / "main"))}


@pytest.fixture
def make(runs, tmp_path):
    opened = []

    def start(limits=None, **more):
        metrics = Metrics()
        engine = Engine(runs, open_store(f"sqlite:{tmp_path / 'events.db'}"), meter=metrics, **more)
        client = testing.TestClient(
            create_app(engine, metrics, limits), base_url="http://127.0.0.1", raise_server_exceptions=False
        )
        client.engine = engine
        opened.append(client.__enter__())
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make):
    return make()


def wrong(answer, status, code):
    assert answer.status_code == status
    body = answer.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "message", "request"}
    assert body["error"]["code"] == code
    assert body["error"]["request"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    return body["error"]["message"]


def click(id="e1", user="u1", item="toys7", **more):
    return {"user": user, "domain": "toys", "item": item, "id": id, **more}


def test_recommend_post_recommend(client):
    first = client.post("/recommend", json={"user": "u1", "k": 3}).json()
    assert first["request"]
    assert first["version"] == client.engine.bundle("main").version
    assert [each["rank"] for each in first["items"]] == [1, 2, 3]
    assert first["items"][0].keys() == {"item", "rank", "score", "channels", "title", "category"}
    item = first["items"][0]["item"]
    taken = client.post("/events", json={"events": [click(item=item, request=first["request"])]})
    assert (taken.json()["received"], taken.json()["new"]) == (1, 1)
    again = client.post("/events", json={"events": [click(item=item)]})
    assert again.json()["new"] == 0
    second = client.post("/recommend", json={"user": "u1", "k": 3}).json()
    assert item not in [each["item"] for each in second["items"]]
    assert second["events"] == first["events"] + 1


@pytest.mark.parametrize(
    ("path", "body"), [("/recommend", {"user": "u1", "k": 4}), ("/events", {"events": [click()] * 2})]
)
def test_the_short_way_answers_as_the_long_one(make, path, body):
    client, found = make(), []
    for kind in ("application/json; charset=utf-8", "application/json"):
        headers = {"content-type": kind, "x-request-id": "r1"}
        answer = client.post(path, content=json.dumps(body), headers=headers)
        assert answer.headers["content-type"] == "application/json"
        found.append({**answer.json(), "new": None})
    assert found[0] == found[1]


def test_a_history_can_be_sent_along_and_a_fallback_is_told(client):
    body = {"history": [{"domain": "games", "item": "games3"}, {"domain": "toys", "item": "?"}], "domain": "games"}
    told = client.post("/recommend", json=body).json()
    assert (told["domain"], told["user"], told["events"], told["passed_over"]) == ("games", None, 1, 1)
    cold = client.post("/recommend", json={"user": "nobody"}).json()
    assert cold["fallback"] == "cold"
    assert "popular" in cold["message"]


def test_the_other_paths_answer(client):
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready", "store": "ok"}
    version = client.get("/version").json()
    assert version["models"]["main"]["serves"] == ["toys", "games"]
    domains = client.get("/domains").json()
    assert {each["name"]: each["items"] for each in domains["domains"]} == {"toys": 30, "games": 20}
    page = client.get("/users", params={"count": 40}).json()
    rest = client.get("/users", params={"start": page["next"], "count": 40}).json()
    assert (len(page["users"]), len(rest["users"]), rest["next"]) == (40, 20, None)
    history = client.get("/history", params={"user": "u1", "count": 2}).json()
    assert history["domains"]["toys"][0]["title"].startswith("Title of")
    similar = client.get("/similar", params={"item": "toys4", "domain": "toys", "k": 4}).json()
    assert len(similar["items"]) == 4
    top = client.post("/recommend", json={"user": "u1", "k": 1}).json()["items"][0]
    why = client.get("/explain", params={"user": "u1", "item": top["item"]}).json()
    assert (why["rank"], why["channels"], why["evidence"]) == (1, top["channels"], None)
    assert why["triggers"]


def test_the_pages_need_nothing_from_elsewhere(client):
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "http://" not in page.text
        assert "https://" not in page.text
    assert "POST /recommend" in client.get("/docs").text
    assert client.get("/openapi.json").json()["paths"].keys() >= {"/recommend", "/events", "/explain"}


def test_every_answer_has_safe_headers_and_a_name(client):
    for answer in (
        client.get("/"),
        client.get("/health"),
        client.get("/nothing"),
        client.post("/recommend", content="{"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 24
        assert "server" not in answer.headers
    named = client.get("/health", headers={"x-request-id": "mine-1"})
    assert named.headers["x-request-id"] == "mine-1"
    odd = client.get("/health", headers={"x-request-id": "<b>\r"})
    assert odd.headers["x-request-id"] != "<b>"


def test_errors_have_one_shape(client):
    wrong(client.get("/nothing"), 404, "not-found")
    wrong(client.get("/recommend"), 405, "wrong-method")
    wrong(client.get("/history", params={"user": "nobody"}), 404, "not-found")
    for content in (
        "{",
        "",
        "[]",
        "null",
        '{"user": 1}',
        '{"k": 5, "user": "u", "odd": 1}',
        "\x00",
        '{"user": "\\ud800"}',
    ):
        answer = client.post("/recommend", content=content, headers={"content-type": "application/json"})
        wrong(answer, 422, "invalid")
    assert "Say for whom" in wrong(client.post("/recommend", json={}), 422, "invalid")
    assert "Did you mean 'toys'" in wrong(
        client.post("/recommend", json={"user": "u1", "domain": "toyz"}), 422, "invalid"
    )
    assert wrong(
        client.post("/recommend", content=b"\xff\xfe", headers={"content-type": "application/json"}), 422, "invalid"
    )


@pytest.mark.parametrize(
    "body",
    [
        {"user": ""},
        {"user": "x" * 257},
        {"user": "u1", "k": 0},
        {"user": "u1", "k": 201},
        {"user": "u1", "k": 1.5},
        {"user": "u1", "domain": "d" * 257},
        {"user": "u1", "page": "p" * 257},
        {"history": [{"domain": "toys", "item": "x"}] * 1001},
        {"history": [{"domain": "toys"}]},
        {"user": "u1", "filters": {"deny": ["x"] * 10_001}},
        {"user": "u1", "filters": {"allow": ["x" * 257]}},
    ],
    ids=lambda body: next(key for key in reversed(body)),
)
def test_what_is_too_much_is_refused(client, body):
    message = wrong(client.post("/recommend", json=body), 422, "invalid")
    assert len(message) < 1000


@pytest.mark.parametrize(
    "event",
    [
        {"user": "u1"},
        click(id=""),
        click(item="x" * 257),
        click(kind="k" * 33),
        click(time=-1),
        click(time=1e11),
        click(time="now"),
        click(odd=1),
        {**click(), "domain": "nothing"},
    ],
    ids=str,
)
def test_one_bad_event_and_nothing_is_taken(client, event):
    wrong(client.post("/events", json={"events": [click("good"), event]}), 422, "invalid")
    assert client.engine.keeper.store.since()[0] == []


def test_counts_of_events_are_bounded(client):
    wrong(client.post("/events", json={"events": []}), 422, "invalid")
    wrong(client.post("/events", json={"events": [click(str(at)) for at in range(1001)]}), 422, "invalid")


def test_bodies_and_addresses_are_bounded(make):
    client = make(Limits(body=1000))
    wrong(client.post("/recommend", content=b"x" * 1001), 413, "too-large")
    wrong(client.post("/recommend", content=iter([b"{" + b" " * 600, b" " * 600])), 413, "too-large")
    assert (
        client.post(
            "/recommend", content=json.dumps({"user": "u1"}), headers={"content-type": "application/json"}
        ).status_code
        == 200
    )
    wrong(client.get("/users", params={"start": "x" * 5000}), 414, "too-long")


def test_a_body_that_becomes_too_large_when_it_could_be_read_already_changes_nothing(make):
    client, sent = make(Limits(body=1000)), []
    chunks = iter([json.dumps({"events": [click()]}).encode(), b" " * 1000])
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    where = {"type": "http", "method": "POST", "path": "/events", "query_string": b"", "headers": headers}

    async def receive():
        return {"type": "http.request", "body": next(chunks), "more_body": True}

    async def send(message):
        sent.append(message)

    asyncio.run(client.app(where, receive, send))
    assert sent[0]["status"] == 413
    assert client.engine.keeper.ask(lambda store: store.users("", 9)) == []


def test_a_token_is_asked_for(make):
    client = make(Limits(token="s3cret ü"))
    token = "s3cret ü".encode()
    for path in ("/health", "/ready", "/", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200
    for path in ("/users", "/metrics", "/version", "/domains", "/history?user=u1", "/nothing", "/./users", "/users/"):
        answer = client.get(path)
        assert answer.status_code in (401, 404), path
    for given in (b"", b"Bearer", b"Bearer ", b"Bearer x", b"Basic " + token, b"Bearer " + token + b"x", token):
        answer = client.get("/users", headers={"authorization": given})
        wrong(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    wrong(client.post("/events", json={"events": [click()]}), 401, "unauthorized")
    assert client.engine.keeper.store.since()[0] == []
    for scheme in (b"Bearer ", b"bearer "):
        assert client.get("/users", headers={"authorization": scheme + token}).status_code == 200


def test_a_page_of_somebody_elses_cannot_speak_in_the_servers_name(make):
    client = make(Limits(hosts=LOCAL))
    for host in ("127.0.0.1", "localhost:8000", "[::1]:80", "LOCALHOST"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        wrong(client.get("/health", headers={"host": host}), 421, "wrong-host")
    answer = client.post("/events", content=json.dumps({"events": [click()]}), headers={"content-type": "text/plain"})
    wrong(answer, 422, "invalid")
    assert "access-control-allow-origin" not in client.get("/health", headers={"origin": "http://evil.example"}).headers


def test_what_breaks_says_nothing_of_the_inside(client, monkeypatch):
    def broken(ask):
        raise RuntimeError("secret path /home/me")

    monkeypatch.setattr(client.engine, "recommend", broken)
    answer = client.post("/recommend", json={"user": "u1"})
    wrong(answer, 500, "broken")
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/health").status_code == 200


def test_without_a_store_events_are_not_taken_and_reads_say_so(client, monkeypatch):
    def away(*_):
        raise StoreError("redis://me:secret@host does not answer")

    for name in ("append", "history", "users", "ping"):
        monkeypatch.setattr(client.engine.keeper.store, name, away)
    answer = client.post("/events", json={"events": [click()]})
    assert "secret" not in wrong(answer, 503, "store")
    assert answer.headers["retry-after"] == "1"
    found = client.post("/recommend", json={"user": "u1"}).json()
    assert found["fallback"] == "store"
    assert found["items"]
    assert "store does not answer" in found["message"]
    assert client.get("/ready").json() == {"status": "ready", "store": "away"}
    assert client.get("/history", params={"user": "u1"}).json()["fallback"] == "store"
    wrong(client.get("/history", params={"user": "nobody"}), 503, "store")
    monkeypatch.undo()
    client.engine.keeper._rests_until = time.monotonic()
    assert client.post("/events", json={"events": [click()]}).json()["new"] == 1


def test_no_request_reaches_a_file(client, runs):
    for path in (
        "/page/../app.py",
        "/page/%2e%2e/app.py",
        "/page/..%2fapp.py",
        "/page/index.html",
        "/page//etc/passwd",
    ):
        assert client.get(path).status_code == 404
    for name in ("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "a\0b"):
        wrong(client.post("/recommend", json={"user": "u1", "domain": name}), 422, "invalid")
        wrong(client.post("/recommend", json={"user": "u1", "model": name}), 422, "invalid")
    told = json.dumps([client.get(path).json() for path in ("/version", "/domains", "/ready", "/openapi.json")])
    assert str(runs["main"].run.parent) not in told


def test_metrics_count_what_happens(client):
    client.post("/recommend", json={"user": "u1"})
    client.post("/recommend", json={"user": "nobody"})
    client.post("/events", json={"events": [click()]})
    client.get("/some/unknown/path")
    text = client.get("/metrics").text
    for line in (
        'crossrec_requests_total{method="POST",path="/recommend",status="200"} 2.0',
        'crossrec_requests_total{method="GET",path="other",status="404"} 1.0',
        'crossrec_fallbacks_total{kind="cold"} 1.0',
        'crossrec_events_total{kind="new"} 1.0',
        'crossrec_candidates_total{channel="u2i"} 10.0',
        f'version="{client.engine.bundle("main").version}"}} 1.0',
        'crossrec_request_seconds_count{path="/recommend"} 2.0',
    ):
        assert line in text


def test_an_experiment_names_the_arm(make):
    client = make(experiment=Experiment("home", {"main": 1, "twin": 1}))
    found = client.post("/recommend", json={"user": "u1", "page": "start"}, headers={"x-request-id": "r1"}).json()
    assert found["arm"] == client.engine.experiment.arm("u1")
    client.engine.flush()
    shown = client.engine.keeper.store.exposures()[0][0]
    assert (shown.request, shown.page, list(shown.items)) == ("r1", "start", [each["item"] for each in found["items"]])


def test_the_command_refuses_what_it_cannot_serve(tmp_path, capsys):
    from crossrec.cli import main
    from crossrec.cli.serve import _experiment, _token

    for arguments, said in [
        (["serve", str(tmp_path)], "is not a run folder"),
        (["serve", str(tmp_path), "--experiment", "home"], "needs --experiment"),
        (["serve", str(tmp_path), "--also", "x"], "NAME=..."),
        (["serve", str(tmp_path), "--token-file", str(tmp_path / "none")], "cannot be read"),
    ]:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
        assert said in capsys.readouterr().err
    with pytest.raises(InputError, match="no run is served"):
        _experiment("home", ["main=1", "other=1"], {"main"})
    assert _experiment("home", ["main=1", "new=2"], {"main", "new"}).arms == {"main": 1, "new": 2}
    (tmp_path / "token").write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        _token(tmp_path / "token")
