/* The page: asks the server it came from, and shows what it says. Every text of the data is set as text, never as markup. */
"use strict";

const at = (id) => document.getElementById(id);
const memory = { token: "" };
const state = { who: null, serves: {}, domains: [], next: null, before: new Map(), turn: 0, search: 0, serial: 0, lists: [] };
const PAST = 8;
const LOOKED = 50;

/* An element with attributes and children; a child that is text stays text. */
function make(tag, about, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(about || {})) {
    if (name === "on") for (const [kind, call] of Object.entries(value)) node.addEventListener(kind, call);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const percent = (share) => (share > 0 && share < 0.01 ? "<1%" : `${Math.round(share * 100)}%`);
const plural = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
const short = (number) => (Math.abs(number) >= 100 ? number.toFixed(0) : number.toPrecision(3));
const named = (each) => each.title || each.item;
/* The categories as they are read; of a path its last two levels. */
const kind = (text) => (text ? text.split("|").map((path) => path.split(">").map((part) => part.trim()).slice(-2).join(" › ")).join(", ") : "");
const day = (time) => (time === null || time === undefined ? "" : new Date(time * 1000).toISOString().slice(0, 10));

/* A word at the lower edge, read out as well; it goes by itself. */
let said = 0;
function say(text) {
  at("live").textContent = text;
  clearTimeout(said);
  if (text) said = setTimeout(() => say(""), 12000);
}

class Refused extends Error {}

/* One question to the server: JSON in, JSON out; an error is one sentence. */
async function ask(path, body, plain) {
  const headers = {};
  if (memory.token) headers.authorization = `Bearer ${memory.token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refused("The server does not answer. Is it still running?");
  }
  if (answer.ok) return plain ? answer.text() : answer.json();
  let text = `The server answers with status ${answer.status}.`;
  try {
    text = (await answer.json()).error.message;
  } catch { /* no JSON: the status must do */ }
  if (answer.status === 401) {
    at("access").open = true;
    text = "This server asks for a token: enter it under “Access token”.";
  }
  const error = new Refused(text);
  error.status = answer.status;
  throw error;
}

function told(error) {
  if (error instanceof Refused) return error.message;
  console.error(error);
  return "Something on this page broke; the browser's console says what.";
}

function note(id, text, wrong) {
  const node = at(id);
  node.textContent = text;
  node.hidden = !text;
  node.className = wrong ? "error" : "note";
}

function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(pairs).toString();
}

const subject = () => (state.who.history ? { history: state.who.history } : { user: state.who.user });
const chosenModels = () => [...new Set([at("model").value, at("beside").value])].filter(Boolean);
const serves = (name) => state.serves[name]?.includes(at("domain").value) ?? true;
/* The chosen models that recommend in the chosen domain. */
const shownModels = () => chosenModels().filter(serves);

/* ---- who ---- */

/* The largest id that sorts before everything that begins with a prefix: the server lists what comes after it. */
function justBefore(prefix) {
  const letters = [...prefix];
  const last = letters.pop();
  if (last === undefined) return "";
  const code = last.codePointAt(0) - 1;
  return code < 32 || (code >= 0xd800 && code <= 0xdfff) ? letters.join("") : letters.join("") + String.fromCodePoint(code) + "\u{10FFFF}";
}

async function listUsers(more) {
  const turn = ++state.search;
  const prefix = at("search").value.trim();
  const quiet = at("users-note");
  quiet.className = "quiet";
  if (!more) quiet.textContent = "Loading the users…";
  try {
    const found = await ask(`/users?${query({ start: more ? state.next : justBefore(prefix), count: 30 })}`);
    if (turn !== state.search) return;
    const inside = found.users.filter((each) => each.user.startsWith(prefix));
    if (!more) at("users").replaceChildren();
    at("users").append(...inside.map(userButton));
    state.next = inside.length === found.users.length ? found.next : null;
    at("more-users").hidden = !state.next;
    const count = at("users").children.length;
    if (!count) quiet.textContent = prefix ? `No id begins with “${prefix}”.` : "The run has no users, and no event came in yet.";
    else quiet.textContent = `${plural(count, "user", "users")}${state.next ? ", and more" : ""}.${found.message ? ` ${found.message}` : ""}`;
  } catch (error) {
    if (turn !== state.search) return;
    quiet.textContent = told(error);
    quiet.className = "error";
  }
}

function userButton(each) {
  const button = make("button", { type: "button", "aria-pressed": String(state.who?.user === each.user), on: { click: () => choose({ user: each.user }) } }, each.user);
  button.dataset.user = each.user;
  if (!each.known) button.append(" ", make("span", { class: "tag new" }, "new"));
  return make("li", null, button);
}

/* Up and down go through the list of users. */
function walkUsers(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const buttons = [...at("users").querySelectorAll("button")];
  const place = buttons.indexOf(document.activeElement);
  const next = place + step;
  if (!buttons.length || (event.currentTarget === at("search") && step < 0)) return;
  event.preventDefault();
  if (next < 0) at("search").focus();
  else buttons[Math.min(next, buttons.length - 1)].focus();
}

function choose(who) {
  state.who = who;
  state.before = new Map();
  for (const button of at("users").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.user === who.user));
  say("");
  return load();
}

/* A history from text: "domain item" on each line, or JSON. */
function readHistory(text) {
  const trimmed = text.trim();
  if (!trimmed) throw new Refused("Enter at least one line.");
  if (trimmed.startsWith("[")) {
    let listed;
    try {
      listed = JSON.parse(trimmed);
    } catch (error) {
      throw new Refused(`This is no JSON: ${error.message}.`);
    }
    return listed.map((each, place) => {
      const [domain, item] = Array.isArray(each) ? each : [each?.domain, each?.item];
      if (typeof domain !== "string" || typeof item !== "string") throw new Refused(`Entry ${place + 1}: give a domain and an item, both as text.`);
      return { domain, item };
    });
  }
  return trimmed.split(/\r?\n/).map((line) => line.trim()).filter(Boolean).map((line, place) => {
    const parts = /^([^\s,]+)[\s,]+(.+)$/.exec(line);
    if (!parts) throw new Refused(`Line ${place + 1} (“${line.slice(0, 40)}”): give a domain, a space, and an item id.`);
    if (state.domains.length && !state.domains.some((each) => each.name === parts[1])) {
      throw new Refused(`Line ${place + 1}: there is no domain “${parts[1].slice(0, 40)}”; there are ${state.domains.map((each) => each.name).join(", ")}.`);
    }
    return { domain: parts[1], item: parts[2].trim() };
  });
}

/* ---- all about one person ---- */

/* Ask for everything; answers that come after a newer question are dropped. */
async function load() {
  if (!state.who) return false;
  const turn = ++state.turn;
  const current = () => turn === state.turn;
  at("list-title").textContent = state.who.user ? `Recommendations for ${state.who.user}` : "Recommendations for the pasted history";
  for (const id of ["lists", "domains"]) at(id).setAttribute("aria-busy", "true");
  if (!state.lists.length) note("list-note", "Loading…");
  const done = await Promise.all([loadLists(current), loadHistory(current), loadCategories(current)]);
  if (current()) for (const id of ["lists", "domains"]) at(id).setAttribute("aria-busy", "false");
  return done[0];
}

async function loadLists(current) {
  const [domain, k] = [at("domain").value, Number(at("count").value)];
  try {
    const answers = await Promise.all(shownModels().map((model) => ask("/recommend", { ...subject(), domain, k, model, page: "look" })));
    if (!current()) return false;
    state.lists = answers;
    const away = chosenModels().filter((name) => !serves(name)).map((name) => `The model ${name} does not recommend in ${domain}.`);
    const lines = [...new Set([...answers.flatMap(remarks), ...away])];
    note("list-note", lines.join(" "));
    at("lists").replaceChildren(...answers.map((answer) => list(answer, answers.length > 1)));
    state.before = new Map(answers.map((answer) => [`${answer.model} ${answer.domain}`, answer.items.map((each) => each.item)]));
    return true;
  } catch (error) {
    if (!current()) return false;
    state.lists = [];
    at("lists").replaceChildren();
    note("list-note", told(error), true);
    return false;
  }
}

function remarks(answer) {
  const lines = [];
  if (answer.message) lines.push(answer.message);
  else lines.push(`Made from ${plural(answer.events, "event", "events")}.`);
  if (answer.passed_over) lines.push(`${plural(answer.passed_over, "event is", "events are")} of items that the run does not know.`);
  if (!answer.items.length) lines.push("There is nothing left to recommend here.");
  return lines;
}

function list(answer, several) {
  const before = state.before.get(`${answer.model} ${answer.domain}`);
  const fresh = (each) => before !== undefined && !before.includes(each.item);
  const items = make("ol", { "aria-label": `Recommendations in ${answer.domain}${several ? ` by ${answer.model}` : ""}` }, answer.items.map((each) => recommendation(answer, each, fresh(each))));
  return make("div", { class: "by-model" }, several ? make("h3", null, `Model ${answer.model}`) : null, items);
}

function recommendation(answer, each, fresh) {
  const place = ++state.serial;
  const why = make("div", { class: "why", id: `why-${place}`, hidden: true });
  const about = [`score ${short(each.score)}`, kind(each.category), each.title ? each.item : ""].filter(Boolean).join(" · ");
  const clicked = make("button", { type: "button", class: "main-act", "aria-describedby": `title-${place}` }, "I clicked this");
  clicked.addEventListener("click", () => click(answer, each, clicked));
  const reason = make("button", { type: "button", "aria-expanded": "false", "aria-controls": why.id, "aria-describedby": `title-${place}` }, "Why this?");
  reason.addEventListener("click", () => explain(answer, each, reason, why));
  return make(
    "li",
    { class: "item" },
    make("span", { class: "rank" }, make("span", { class: "sr" }, "Rank "), String(each.rank)),
    make(
      "div",
      null,
      make("div", { class: "title", id: `title-${place}` }, named(each)),
      make("div", { class: "about" }, about),
      make("div", null, fresh ? make("span", { class: "tag new" }, "new here") : null, each.channels.map((name) => make("span", { class: "tag" }, name))),
    ),
    make("div", { class: "acts" }, clicked, reason),
    why,
  );
}

function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/* Post a click; the list that comes back has counted it. Of a pasted history it is a line more, and nothing is stored. */
async function click(answer, each, button) {
  button.disabled = true;
  const before = state.lists[0]?.items.map((one) => one.item) || [];
  try {
    if (state.who.history) {
      state.who = { history: [...state.who.history, { domain: answer.domain, item: each.item }] };
    } else {
      const event = { user: state.who.user, domain: answer.domain, item: each.item, id: freshId(), kind: "click", request: answer.request };
      await ask("/events", { events: [event] });
    }
  } catch (error) {
    button.disabled = false;
    note("list-note", told(error), true);
    say(`The click was not taken: ${told(error)}`);
    return;
  }
  if (!(await load())) return;
  const fresh = (state.lists[0]?.items || []).filter((one) => !before.includes(one.item)).length;
  at("list").focus({ preventScroll: true });
  say(`Noted: “${named(each)}”. The list was made again: ${plural(fresh, "item is", "items are")} new in it.`);
}

/* ---- why ---- */

async function explain(answer, each, button, panel) {
  const open = panel.hidden;
  panel.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
  if (!open || panel.dataset.done) return;
  panel.replaceChildren(make("p", { class: "quiet" }, "Loading…"));
  try {
    const found = await ask("/explain", { ...subject(), item: each.item, domain: answer.domain, model: answer.model });
    panel.replaceChildren(...reasons(found));
    panel.dataset.done = "yes";
  } catch (error) {
    panel.replaceChildren(make("p", { class: "error" }, told(error)));
  }
}

function reasons(found) {
  const parts = [];
  const strength = (each) => each.effect ?? each.weight ?? 0;
  const led = found.triggers.filter((each) => strength(each) >= 0.005).sort((one, other) => strength(other) - strength(one)).slice(0, 6);
  parts.push(make("h4", null, "Own items that led here"));
  const measured = led.some((each) => each.effect !== null);
  const meaning = measured ? "With each, how much lower the score would be without it." : "With each, how alike the two are (1: the most).";
  parts.push(make("p", { class: "quiet" }, led.length ? meaning : found.message || "None of the latest items speaks for it."));
  for (const domain of new Set(led.map((each) => each.domain))) {
    const lines = led.filter((each) => each.domain === domain).map((each) => make("li", null, `${named(each)} `, make("span", { class: "tag" }, strength(each).toFixed(2))));
    parts.push(make("p", null, `In ${domain}:`), make("ul", null, lines));
  }
  parts.push(make("h4", null, "People with a similar taste"));
  const people = found.evidence?.domains || [];
  if (!people.length) parts.push(make("p", { class: "quiet" }, "Nothing is shown of fewer than 10 people."));
  else parts.push(make("ul", null, people.map((each) => make("li", null, crowd(each, found.evidence.everybody)))));
  return parts;
}

function crowd(each, everybody) {
  const share = each.have === null ? "one or two have this" : each.have === 0 ? "nobody has this" : `${each.have} have this`;
  return `Of ${each.people} people with a similar taste in ${each.domain}, ${share} (of everybody: ${percent(everybody)}).`;
}

/* ---- history ---- */

async function loadHistory(current) {
  try {
    const domains = state.who.history ? await pasted() : await known();
    if (!current()) return;
    const all = Object.entries(domains);
    note("history-note", all.some(([, events]) => events.length) ? "" : "Nothing is known of this user yet.");
    at("domains").replaceChildren(...all.filter(([, events]) => events.length).map(([domain, events]) => pastOf(domain, events)));
  } catch (error) {
    if (!current()) return;
    at("domains").replaceChildren();
    note("history-note", told(error), error.status !== 404);
  }
}

async function known() {
  const found = await ask(`/history?${query({ user: state.who.user, count: 200, model: at("model").value })}`);
  return Object.fromEntries(Object.entries(found.domains).map(([domain, events]) => [domain, events.slice().reverse()]));
}

/* A pasted history with the titles that the run knows. */
async function pasted() {
  const found = await ask("/categories", { ...subject(), k: 1, model: at("model").value });
  const domains = {};
  for (const each of found.named.reverse()) (domains[each.domain] ||= []).push(each);
  return domains;
}

function pastOf(domain, events) {
  const items = make("ol", { "aria-label": `History in ${domain}, newest first` }, events.slice(0, PAST).map(pastItem));
  const box = make("div", null, make("h3", null, `${domain}: ${plural(events.length, "event", "events")}`), items);
  if (events.length > PAST) {
    const rest = events.slice(PAST);
    const more = make("button", { type: "button" }, `Show ${rest.length} older`);
    more.addEventListener("click", () => {
      const first = pastItem(rest[0]);
      first.tabIndex = -1;
      items.append(first, ...rest.slice(1).map(pastItem));
      more.remove();
      first.focus();
    });
    box.append(more);
  }
  return box;
}

function pastItem(each) {
  const about = [day(each.time), kind(each.category), each.title ? each.item : ""].filter(Boolean).join(" · ");
  const tags = [each.stored ? "since training" : "", each.known ? "" : "not known to the run"].filter(Boolean).map((text) => make("span", { class: "tag" }, text));
  return make("li", { class: "past" }, make("div", { class: "title" }, named(each)), make("div", { class: "about" }, ...tags, about));
}

/* ---- categories ---- */

async function loadCategories(current) {
  if (!shownModels().length) {
    at("charts").replaceChildren();
    note("categories-note", "Nothing is recommended here.");
    return;
  }
  try {
    const found = await Promise.all(shownModels().map((model) => ask("/categories", { ...subject(), domain: at("domain").value, k: LOOKED, model })));
    if (!current()) return;
    const series = seriesOf(found);
    if (!series.some((each) => each.shares.known)) {
      at("charts").replaceChildren();
      note("categories-note", "No category is known of these items.");
      return;
    }
    note("categories-note", `Share of each category in the history and in the first ${LOOKED} recommendations in ${found[0].domain}.`);
    at("charts").replaceChildren(...charts(series, found));
  } catch (error) {
    if (!current()) return;
    at("charts").replaceChildren();
    note("categories-note", told(error), true);
  }
}

/* What is compared: histories, the lists of the models, and what like people have. */
function seriesOf(found) {
  const first = found[0];
  const past = Object.entries(first.history).map(([domain, shares]) => ({ name: `History in ${domain}`, domain, shares }));
  const lists = found.map((each) => ({ name: found.length > 1 ? `Recommended by ${each.model}` : "Recommended", shares: each.recommended }));
  const people = first.people.slice(0, 1).map((each) => ({ name: `What ${each.people} people with a similar taste in ${each.domain} have`, shares: each.shares }));
  past.sort((one, other) => (one.domain === first.domain) - (other.domain === first.domain));
  return [...past, ...lists, ...people].filter((each) => each.shares.items);
}

function charts(series, found) {
  const shown = series.filter((each) => each.shares.known).map((each, place) => ({
    ...each,
    tone: `tone-${(place % 6) + 1}`,
    at: new Map(each.shares.shares.map((one) => [one.category, one.share])),
  }));
  const largest = (name) => Math.max(...shown.map((each) => each.at.get(name) || 0));
  const names = [...new Set(shown.flatMap((each) => [...each.at.keys()]))].sort((one, other) => largest(other) - largest(one) || one.localeCompare(other));
  const top = Math.max(...names.map(largest));
  const legend = make("ul", { class: "legend" }, shown.map((each) => make("li", null, make("span", { class: `swatch ${each.tone}`, "aria-hidden": "true" }), `${each.name} (category known of ${each.shares.known} of ${each.shares.items})`)));
  const unknown = series.filter((each) => !each.shares.known).map((each) => make("p", { class: "quiet" }, `${each.name}: no category is known of its ${plural(each.shares.items, "item", "items")}.`));
  const bars = make("ul", { class: "bars" }, names.slice(0, 12).map((name) => make("li", { class: "kind" }, make("p", null, name), shown.map((each) => bar(each, each.at.get(name) || 0, top)))));
  const rest = names.length > 12 ? make("p", { class: "quiet" }, `The 12 largest of ${names.length} categories; all are in the table.`) : null;
  const head = make("tr", null, make("th", { scope: "col" }, "Category"), shown.map((each) => make("th", { scope: "col", class: "number" }, each.name)));
  const rows = names.map((name) => make("tr", null, make("th", { scope: "row" }, name), shown.map((each) => make("td", { class: "number" }, percent(each.at.get(name) || 0)))));
  const table = make("details", null, make("summary", null, "The same as a table"), scroller("Categories as a table", make("table", null, make("thead", null, head), make("tbody", null, rows))));
  return [legend, ...unknown, bars, rest, table, widths(found)].filter(Boolean);
}

function bar(each, share, top) {
  const fill = make("span", { class: `fill ${each.tone}` });
  fill.style.setProperty("--share", String(top ? share / top : 0));
  return make("div", { class: "bar" }, make("span", { class: "trough", "aria-hidden": "true" }, fill), make("span", null, make("span", { class: "sr" }, `${each.name}: `), percent(share)));
}

function scroller(name, table) {
  return make("div", { class: "scroll", role: "group", "aria-label": name, tabindex: "0" }, table);
}

/* How wide the lists are, in numbers. */
function widths(found) {
  const measures = [
    ["Entropy, in bits (more is wider)", (width) => width.entropy?.toFixed(2)],
    ["Share of the largest category (“cocoon”)", (width) => (width.cocoon === null ? undefined : percent(width.cocoon))],
    ["Categories with 5% or more", (width) => width.wide],
    [`Distance from the history in ${found[0].domain} (0 equal, 1 nothing in common)`, (width) => width.from_history?.toFixed(2)],
  ];
  const head = make("tr", null, make("th", { scope: "col" }, "The list"), found.map((each) => make("th", { scope: "col", class: "number" }, each.model)));
  const rows = measures.map(([name, read]) => make("tr", null, make("th", { scope: "row" }, name), found.map((each) => make("td", { class: "number" }, String(read(each.width) ?? "–")))));
  return scroller("How wide the lists are", make("table", null, make("thead", null, head), make("tbody", null, rows)));
}

/* ---- health ---- */

async function loadHealth() {
  try {
    const ready = await ask("/ready");
    const well = ready.status === "ready" && ready.store === "ok";
    at("dot").className = well ? "dot good" : "dot bad";
    at("state-text").textContent = well ? "Ready" : `Ready, but the store is ${ready.store}`;
    const [version, domains, metrics] = await Promise.all([ask("/version"), ask("/domains"), ask("/metrics", undefined, true)]);
    note("health-note", "");
    at("health-facts").replaceChildren(facts(ready, version, domains), latency(metrics));
  } catch (error) {
    if (!error.status || error.status >= 500) {
      at("dot").className = "dot bad";
      at("state-text").textContent = "No answer";
    }
    note("health-note", told(error), true);
  }
}

function facts(ready, version, domains) {
  const shown = [["Server", `crossrec ${version.crossrec}`], ["History store", ready.store === "ok" ? "answers" : "away: nothing is taken in"]];
  for (const [name, each] of Object.entries(version.models)) {
    shown.push([`Model ${name}`, `${each.model}, version ${each.name ? `${each.name} ` : ""}${each.version}, loaded ${new Date(each.loaded * 1000).toLocaleString()}${each.refused ? `. ${each.refused}` : ""}`]);
  }
  for (const each of domains.domains) {
    const about = [plural(each.items, "item", "items"), plural(each.events, "event", "events"), each.titles ? "with titles" : "no titles", each.served ? "" : "only read, not recommended in"];
    shown.push([`Domain ${each.name}`, about.filter(Boolean).join(", ")]);
  }
  if (version.experiment) shown.push(["A/B test", `${version.experiment} (what is shown on this page does not count in it)`]);
  return make("dl", { class: "facts" }, shown.map(([name, text]) => make("div", { class: "fact" }, make("dt", null, name), make("dd", null, text))));
}

/* Requests per path, from what Prometheus reads: how many, how long in the mean, and within what 95% were answered. */
function latency(text) {
  const paths = new Map();
  for (const line of text.split("\n")) {
    const parts = /^crossrec_request_seconds_(bucket|sum|count)\{(.*)\} ([^ ]+)/.exec(line);
    if (!parts) continue;
    const path = /path="((?:[^"\\]|\\.)*)"/.exec(parts[2])?.[1] ?? "";
    const found = paths.get(path) || { buckets: [] };
    if (parts[1] === "bucket") found.buckets.push([Number(/le="([^"]*)"/.exec(parts[2])[1].replace("+Inf", "Infinity")), Number(parts[3])]);
    else found[parts[1]] = Number(parts[3]);
    paths.set(path, found);
  }
  const within = (found) => {
    const bound = found.buckets.find(([, count]) => count >= 0.95 * found.count)?.[0];
    return bound === undefined || bound === Infinity ? "more than 5,000 ms" : `${Math.round(bound * 1000)} ms`;
  };
  const rows = [...paths].filter(([, found]) => found.count).sort(([, one], [, other]) => other.count - one.count).map(([path, found]) =>
    make("tr", null, make("th", { scope: "row" }, make("code", null, path)), make("td", { class: "number" }, found.count.toLocaleString("en")), make("td", { class: "number" }, `${((1000 * found.sum) / found.count).toFixed(1)} ms`), make("td", { class: "number" }, within(found))),
  );
  const head = make("tr", null, ["Path", "Requests", "Mean", "95% within"].map((name, place) => make("th", { scope: "col", class: place ? "number" : false }, name)));
  return scroller("Time to answer", make("table", null, make("caption", { class: "sr" }, "Time to answer since the server was started"), make("thead", null, head), make("tbody", null, rows)));
}

/* ---- start ---- */

const THEMES = [["", "auto"], ["light", "light"], ["dark", "dark"]];

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  at("theme").textContent = `Theme: ${THEMES.find(([value]) => value === name)[1]}`;
}

function options(select, names, chosen) {
  select.replaceChildren(...names.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
}

async function start() {
  try {
    const [found, version] = await Promise.all([ask("/domains"), ask("/version")]);
    state.domains = found.domains;
    state.serves = Object.fromEntries(Object.entries(version.models).map(([name, each]) => [name, each.serves]));
    const served = [...new Set(Object.values(state.serves).flat())];
    options(at("domain"), served.map((name) => [name, name]), found.domains.find((each) => each.target)?.name);
    options(at("model"), found.models.map((name) => [name, name]), found.models[0]);
    options(at("beside"), [["", "nothing"], ...found.models.map((name) => [name, name])], found.models[1] || "");
    for (const id of ["model-box", "beside-box"]) at(id).hidden = found.models.length < 2;
    at("raw").placeholder = found.domains.map((each) => `${each.name} ITEM`).join("\n");
    if (!state.who) note("list-note", "Choose a user, or paste an id or a history.");
  } catch (error) {
    note("list-note", told(error), true);
  }
  await Promise.all([listUsers(false), loadHealth()]);
  await load();
}

function submit(id, call) {
  at(id).addEventListener("submit", (event) => {
    event.preventDefault();
    call();
  });
}

let waiting = 0;
at("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => listUsers(false), 200);
});
at("search").addEventListener("keydown", walkUsers);
at("users").addEventListener("keydown", walkUsers);
at("more-users").addEventListener("click", async () => {
  const count = at("users").children.length;
  await listUsers(true);
  at("users").children[count]?.firstChild.focus();
});
submit("search-form", () => listUsers(false));
submit("controls", () => {});
submit("id-form", () => {
  const user = at("id").value.trim();
  if (user) choose({ user });
  else at("id").focus();
});
submit("raw-form", () => {
  const wrong = at("raw-error");
  wrong.hidden = true;
  at("raw").removeAttribute("aria-invalid");
  try {
    choose({ history: readHistory(at("raw").value) });
  } catch (error) {
    wrong.textContent = told(error);
    wrong.hidden = false;
    at("raw").setAttribute("aria-invalid", "true");
    at("raw").focus();
  }
});
submit("token-form", () => {
  memory.token = at("token").value.trim();
  at("token").value = "";
  say("The token is used from now on.");
  start();
});
for (const id of ["domain", "model", "beside", "count"]) at(id).addEventListener("change", load);
at("refresh").addEventListener("click", async () => {
  await loadHealth();
  say("The health view is fresh.");
});
at("theme").addEventListener("click", () => {
  const place = THEMES.findIndex(([value]) => value === (document.documentElement.dataset.theme || ""));
  setTheme(THEMES[(place + 1) % THEMES.length][0]);
});
start();
