"""The page in a real browser: pick a user, see titles, click, see the list change; by keyboard, on a phone, in the dark."""

from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from importlib import resources

import pytest

from crossrec.models.sasrec import SASRec
from crossrec.serve.bundle import Bundles
from crossrec.serve.engine import Engine
from crossrec.serve.explain import Evidence
from crossrec.serve.limits import Limits
from crossrec.serve.store import open_store
from crossrec.testing.served import HOSTILE, small_run, titled_split
from crossrec.train.fit import fit

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 15_000
"""Milliseconds that the browser may take for one step, on a busy machine."""


def test_the_page_is_files_alone_without_inline_code():
    folder = resources.files("crossrec.serve") / "page"
    index, code, style = ((folder / name).read_text() for name in ("index.html", "app.js", "style.css"))
    assert re.findall(r"<script[^>]*>", index) == ['<script src="/page/app.js" defer>']
    assert re.search(r"<style|\sstyle=|\son\w+=|https?://", index) is None
    assert (
        re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|https?://", code) is None
    )
    assert re.search(r"@import|url\(", style) is None
    ids = re.findall(r'\bid="([^"]+)"', index)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'\bat\("([^"]+)"\)', code)) <= set(ids)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made = {name: small_run(folder / name, seed) for name, seed in (("main", 1), ("other", 2))}
    fit(SASRec(dim=8, max_len=20, domains="target"), titled_split(), epochs=1, seed=1).save(folder / "alone")
    return {**made, "alone": folder / "alone"}


@contextmanager
def served(runs, store, token=None):
    """A real server on a free port of this machine; its address."""
    uvicorn = pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    from crossrec.serve.app import create_app
    from crossrec.serve.metrics import Metrics

    metrics = Metrics()
    bundles = {name: Bundles(folder, name=name) for name, folder in runs.items()}
    engine = Engine(bundles, open_store(f"sqlite:{store}"), meter=metrics, evidence=Evidence())
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(engine, metrics, Limits(token)), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        end = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    with served(runs, tmp_path_factory.mktemp("store") / "events.db") as place:
        yield place


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("no chromium on this machine")
    with driver.sync_playwright() as player:
        started = player.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser, address):
    """Opens the page in a window of its own; at the end nothing may have gone wrong in any."""
    opened, wrong = [], []

    def open_page(place=None, expected=(), **settings):
        context = browser.new_context(**settings)
        context.add_init_script(
            "window.violations = []; document.addEventListener('securitypolicyviolation', "
            "(event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));"
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "console",
            lambda line: (
                wrong.append(f"console: {line.text}")
                if line.type == "error" and not any(word in line.text for word in expected)
                else None
            ),
        )
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((place or address, "data:")) else wrong.append(f"left: {asked.url}")
            ),
        )
        page.goto(place or address)
        opened.append((context, page))
        return page

    yield open_page
    for context, page in opened:
        assert page.evaluate("window.violations") == []
        context.close()
    assert wrong == []


def pick(page, user):
    page.get_by_label("Find a user").fill(user)
    page.get_by_role("button", name=user, exact=True).click()
    page.get_by_role("heading", name=f"Recommendations for {user}", exact=True).wait_for()
    page.locator("#lists[aria-busy=false] .item").first.wait_for()


def unfold(page):
    """Open the forms for an id or a history, once nothing above them is still to come and moves them."""
    page.wait_for_load_state("networkidle")
    page.get_by_text("Paste an id or a history", exact=True).click()


def listed(page, place=0):
    return page.locator("#lists ol").nth(place).locator(".title").all_text_contents()


def test_a_click_changes_the_list_at_once(visit):
    page = visit()
    pick(page, "u7")
    before = listed(page)
    assert len(before) == 10
    assert all(title.startswith(("Title of toys", HOSTILE)) for title in before)
    history = page.get_by_role("list", name="History in toys, newest first")
    count = history.locator("li").count()
    page.get_by_role("button", name="I clicked this").first.click()
    page.get_by_role("status").filter(has_text="Noted").wait_for()
    after = listed(page)
    assert before[0] not in after
    assert (
        page.locator("#lists .by-model").first.locator(".tag.new").count()
        == len([title for title in after if title not in before])
        >= 1
    )
    assert history.locator("li").first.locator(".title").text_content() == before[0]
    assert history.locator("li").first.locator(".tag").text_content() == "since training"
    assert history.locator("li").count() == min(count + 1, 8)
    assert page.evaluate("document.activeElement.id") == "list"


def test_a_hostile_title_is_text(visit):
    page = visit()
    unfold(page)
    page.get_by_label("A history, oldest first").fill("games games1\ntoys toys0")
    page.get_by_role("button", name="Recommend for this history").click()
    page.locator("#domains").get_by_text(HOSTILE, exact=True).wait_for()
    page.locator("#lists .item").first.wait_for()
    assert page.locator("#domains script").count() == 0
    assert page.get_by_text("Made from 2 events.").is_visible()
    before = listed(page)
    page.get_by_role("button", name="I clicked this").first.click()
    page.get_by_text("Made from 3 events.").wait_for()
    assert before[0] not in listed(page)
    page.get_by_label("A history, oldest first").fill("moon toys1")
    page.get_by_role("button", name="Recommend for this history").click()
    page.get_by_text("Line 1: there is no domain “moon”").wait_for()


def test_reasons_categories_two_models_and_health(visit):
    page = visit()
    pick(page, "u1")
    reason = page.get_by_role("button", name="Why this?").first
    reason.click()
    panel = page.locator(f"#{reason.get_attribute('aria-controls')}")
    panel.get_by_text("Own items that led here").wait_for()
    assert reason.get_attribute("aria-expanded") == "true"
    people = re.search(r"Of (\d+) people with a similar taste in games", panel.inner_text())
    assert people
    assert int(people[1]) >= 10
    assert page.locator("#lists h3").all_text_contents() == ["Model main", "Model other"]
    assert listed(page, 0) != listed(page, 1)
    legend = page.locator(".legend").inner_text()
    assert "Recommended by main" in legend
    assert "Recommended by other" in legend
    page.get_by_text("The same as a table").click()
    table = page.get_by_role("group", name="Categories as a table").get_by_role("table")
    assert sorted(table.get_by_role("rowheader").all_text_contents()) == ["kind 0", "kind 1", "kind 2"]
    assert page.locator("#state-text").text_content() == "Ready"
    page.get_by_role("button", name="Look again").click()
    page.get_by_role("group", name="Time to answer").get_by_text("/recommend").wait_for()
    assert "sasrec, version" in page.locator("#health-facts").inner_text()
    page.get_by_label("Beside it").select_option("alone")
    page.get_by_role("heading", name="Model alone").wait_for()
    page.get_by_label("Domain", exact=True).select_option("games")
    page.get_by_text("The model alone does not recommend in games.").wait_for()
    assert all(title.startswith("Title of games") for title in listed(page))


def test_the_keyboard_is_enough(visit):
    page = visit()
    page.locator("#users button").first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the recommendations"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.get_by_label("Find a user").focus()
    page.keyboard.type("u2")
    page.locator("#users li:first-child").get_by_role("button", name="u2", exact=True).wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#lists .item").first.wait_for()
    assert page.locator("#users [aria-pressed=true]").all_text_contents() == ["u2"]
    assert page.get_by_role("heading", name="Recommendations for u2").is_visible()
    page.get_by_role("button", name="Why this?").first.focus()
    page.keyboard.press("Space")
    page.get_by_text("Own items that led here").first.wait_for()


NAMELESS = """[...document.querySelectorAll('button, input, select, textarea, a')]
  .filter((node) => node.offsetParent && !(node.textContent.trim() || node.labels?.length))
  .map((node) => node.outerHTML)"""
CONTRAST = """() => {
  const linear = (part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    return /, 0\\)$/.test(color) ? ground(node.parentElement) : color;
  };
  const written = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  const texts = [...document.querySelectorAll('body *')].filter((node) => node.offsetParent && written(node));
  return texts.map((node) => {
    const [high, low] = [light(getComputedStyle(node).color), light(ground(node))].sort((one, other) => other - one);
    return [(high + 0.05) / (low + 0.05), node.textContent.slice(0, 40)];
  }).sort((one, other) => one[0] - other[0])[0];
}"""
"""The lowest ratio of a text to its ground, and the text."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_in_light_and_dark(visit, scheme):
    page = visit(viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    pick(page, "u3")
    page.get_by_role("button", name="Why this?").first.click()
    page.get_by_text("Own items that led here").first.wait_for()
    page.locator(".legend").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 150) == (scheme == "dark")
    ratio, text = page.evaluate(CONTRAST)
    assert ratio >= 4.5, text
    assert page.evaluate(NAMELESS) == []
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme: light").wait_for()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"


def test_a_token_is_asked_for_and_kept_in_memory_alone(visit, runs, tmp_path):
    with served({"main": runs["main"]}, tmp_path / "events.db", token="let-me-in") as place:
        page = visit(place, expected=("401",))
        page.locator("#list-note.error").get_by_text("This server asks for a token").wait_for()
        page.get_by_label("Token of this server").fill("let-me-in")
        page.get_by_role("button", name="Use", exact=True).click()
        pick(page, "u5")
        assert len(listed(page)) == 10
        kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, document.body.innerHTML]")
        assert kept[:3] == [0, 0, ""]
        assert "let-me-in" not in kept[3]


def test_strangers_and_a_server_that_is_gone(visit, runs, tmp_path):
    with served({"main": runs["main"]}, tmp_path / "events.db") as place:
        page = visit(place, expected=("404", "ERR_CONNECTION_REFUSED"))
        unfold(page)
        page.get_by_label("An id, known or not").fill("somebody new")
        page.get_by_role("button", name="Show", exact=True).click()
        page.get_by_text("Nothing that the model reads is known of this user").wait_for()
        page.locator("#history-note").get_by_text("Nothing is known of the user").wait_for()
    page.get_by_label("Items").select_option("5")
    page.locator("#list-note.error").get_by_text("The server does not answer").wait_for()
