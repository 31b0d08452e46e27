// The page: asks kei for its JSON now and then, and shows it. Nothing comes from elsewhere.

import { HALF_HOUR, powerChart, sparkline, weekChart, yearChart } from "./charts.js";
import {
  clock, date, element, epoch, goBy, kept, kwh, kwh3, language, number, percent, say, sentence, size, span, speak, table, there, watts, words, yen,
} from "./text.js";
import { LANGUAGES } from "./words.js";

const NOW_MS = 2000;
const STATE_MS = 10000;
const CHARTS_MS = 60000;
const AGAIN_MS = 3000; // after a failure
const SAY_MS = 15000; // a screen reader is not to be talked to all the time
const OLD_S = 90;
const HIGH_SHARE = 0.8;
const THEMES = ["auto", "light", "dark"];
const DAY_S = 86400;

const $ = (id) => document.getElementById(id);
let theme = THEMES.includes(kept.get("theme")) ? kept.get("theme") : "auto";
const shown = { now: null, status: null, day: null, week: null, year: null, sparks: new Map() };
let selection = null; // of the chart of a day: first and last half-hour chosen, epoch s
let dragging = null;
let asked = 0; // which question about a selection is the latest
let lastSaid = 0;
let lostSince = null;

// ---- asking

class Lost extends Error {}

async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout?.(15000) });
  } catch (error) {
    throw new Lost(error.message);
  }
  if (answer.status === 401) notice(words.signIn);
  if (!answer.ok) throw new Lost(`${path}: ${answer.status}`);
  return answer.json();
}

const range = (from, to, more = "") => `from=${Math.round(from)}&to=${Math.round(to)}${more}`;

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// Runs again and again, but never for nobody: a hidden page asks for nothing.
function repeat(every, run) {
  let timer = null;
  const again = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    let pause = every;
    try {
      await run();
    } catch (error) {
      pause = Math.min(every, AGAIN_MS);
      if (!(error instanceof Lost)) console.error(error);
    }
    clearTimeout(timer); // the page was hidden and seen again meanwhile
    timer = setTimeout(again, pause);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
  again();
}

// ---- now

async function updateNow() {
  try {
    shown.now = await ask("/api/now");
    goBy(shown.now.time);
    if (lostSince) { lostSince = null; notice(""); updateCharts().catch(() => {}); }
  } catch (error) {
    lostSince ||= Date.now();
    if (shown.now && $("notice").hidden) notice(say(words.unreachable, { time: new Date(lostSince).toTimeString().slice(0, 5) }));
    $("power").parentElement.classList.add("old");
    throw error;
  }
  showNow();
}

function showNow() {
  const now = shown.now;
  if (!now) return;
  const power = now.power_w;
  const isOld = power === null || now.age_s > OLD_S;
  const sells = power !== null && power < 0;
  $("power").textContent = power === null ? "–" : watts(Math.abs(power));
  $("power").parentElement.classList.toggle("old", isOld);
  $("power").parentElement.classList.toggle("selling", sells);
  $("now-title").textContent = sells ? words.selling : words.now;
  $("age").textContent = power === null ? words.noReading : say(words.ago, { age: span(now.age_s) });
  if (power !== null && !isOld && Date.now() - lastSaid > SAY_MS) {
    const text = say(sells ? words.saidSelling : words.said, { watts: watts(Math.abs(power)) });
    if ($("power-said").textContent !== text) { $("power-said").textContent = text; lastSaid = Date.now(); }
  }
  document.title = power === null || isOld ? "kei" : `${watts(power)} W – kei`;
  $("main").classList.toggle("sensors-only", !hasMeter(now));
  showCurrents(now);
  showSums(now);
  showSensors(now);
}

// A kei without [broute] only has sensors, but may have had a meter.
const hasMeter = (now) => [now.session, now.power_w, now.bought_kwh, now.period.kwh].some((each) => each !== null);

function showCurrents(now) {
  const { r, t } = now.current_a;
  $("currents").hidden = r === null && t === null;
  $("currents").textContent = t === null ? `${number(r, 1)} A` : say(words.phase, { r: number(r, 1), t: number(t, 1) });
  $("share").hidden = now.contract_share === null;
  if (now.contract_share === null) return;
  $("share-bar").style.width = `${Math.min(100, now.contract_share * 100)}%`;
  $("share-bar").parentElement.classList.toggle("high", now.contract_share >= HIGH_SHARE);
  const amperes = Math.abs(r || 0) + Math.abs(t || 0);
  $("share-text").textContent = say(words.share, { share: percent(now.contract_share), contract: now.contract.replace(/([0-9])([A-Za-z])/, "$1\u00a0$2"), amperes: number(amperes, 1) });
}

function cost(id, value) {
  $(id).hidden = value === null || value === undefined;
  $(id).textContent = $(id).hidden ? "" : yen(value);
}

function showSums(now) {
  const { today, period } = now;
  $("today-kwh").textContent = kwh(today.kwh);
  cost("today-cost", today.cost);
  $("today-note").textContent = today.kwh === null ? words.noRegisters : today.until ? say(words.until, { time: today.until.slice(11, 16) }) : "";
  const isBilling = now.has_tariff;
  $("period-title").textContent = isBilling ? words.billing : words.period;
  $("period-kwh").textContent = kwh(period.kwh);
  cost("period-cost", period.cost);
  $("period-note").textContent = period.from ? say(words.from, { day: date(period.from, "day") }) : "";
  $("period-gaps").hidden = !period.kwh || !period.missing;
  $("period-gaps").textContent = say(words.gaps, { count: number(period.missing) });
  $("forecast").hidden = period.forecast === null;
  if (period.forecast !== null) {
    $("forecast").textContent = say(words.forecast, { cost: yen(period.forecast), day: date(there(epoch(period.to) - 1), "day") });
  }
  $("price").hidden = now.price === null;
  if (now.price !== null) {
    const each = number(now.price, 2);
    $("price").textContent = language === "ja" ? `${each} 円` : `¥${each}`;
  }
  $("price-note").textContent = !isBilling ? words.noTariff : now.price === null ? words.noPrice : words.perKwh;
  const sells = today.sold_kwh > 0 || period.sold_kwh > 0;
  $("sold-box").hidden = !sells;
  if (sells) {
    $("sold-kwh").textContent = kwh(today.sold_kwh);
    $("sold-note").textContent = say(words.soldPeriod, { kwh: kwh(period.sold_kwh) });
  }
}

function showSensors(now) {
  $("sensors-box").hidden = now.sensors.length === 0;
  const list = $("sensors");
  const names = now.sensors.map((each) => `${each.unit}/${each.sensor}`);
  if (list.dataset.names !== names.join()) {
    list.dataset.names = names.join();
    list.replaceChildren(...names.map((name) => element("li", {}, element("span", { class: "quiet" }, name), element("b"), element("span", { class: "quiet" }), element("div"))));
    shown.sparks.clear();
    updateSparks(names).catch(() => {});
  }
  now.sensors.forEach((each, index) => {
    const [, value, age] = list.children[index].children;
    const seconds = epoch(now.time) - epoch(each.time);
    value.textContent = new Intl.NumberFormat(language, { maximumFractionDigits: 4 }).format(each.value);
    value.classList.toggle("old", seconds > 3600);
    age.textContent = say(words.ago, { age: span(seconds) });
  });
}

async function updateSparks(names) {
  for (const name of names.slice(0, 12)) {
    shown.sparks.set(name, await ask(`/api/power?series=${name}&points=160`));
  }
  drawSparks();
}

function drawSparks() {
  const list = $("sensors");
  const to = shown.now ? epoch(shown.now.time) : 0;
  (list.dataset.names || "").split(",").forEach((name, index) => {
    const found = shown.sparks.get(name);
    if (found && list.children[index]) sparkline(list.children[index].lastChild, { points: found.points, from: to - DAY_S, to });
  });
}

// ---- the last 24 hours

async function updateDay() {
  const to = epoch(shown.now.time);
  const from = to - DAY_S;
  const [power, energy] = await Promise.all([
    ask(`/api/power?${range(from, to)}`),
    ask(`/api/energy?${range(Math.ceil(from / HALF_HOUR) * HALF_HOUR, to, "&by=half-hour")}`),
  ]);
  shown.day = { from, to, points: power.points, rows: energy.rows };
  showDay();
}

const net = (row) => (row.bought_kwh === null && !row.sold_kwh ? null : (row.bought_kwh || 0) - (row.sold_kwh || 0));

function showDay() {
  const day = shown.day;
  if (!day) return;
  const halfHours = day.rows.filter((row) => net(row) !== null).map((row) => ({ start: epoch(row.start), watts: net(row) * 2000 }));
  const hour = (time) => {
    const text = clock(time);
    return { hour: Number(text.slice(0, 2)), minute: Number(text.slice(3)), text };
  };
  day.at = powerChart($("day"), { ...day, halfHours, hour, watts, selection });
  if (!day.points.some((each) => each[1] !== null) && !halfHours.length) $("day-said").textContent = words.noData;
  const rows = day.rows.map((row) => {
    const [start, end] = [epoch(row.start), epoch(row.end)];
    const within = day.points.filter((each) => each[1] !== null && each[0] >= start && each[0] < end);
    const extreme = (pick, index) => (within.length ? watts(pick(...within.map((each) => each[index]))) : "–");
    return [`${clock(start)} – ${clock(end)}`, kwh3(row.bought_kwh), ...(sellsAny(day.rows) ? [kwh3(row.sold_kwh)] : []), extreme(Math.min, 1), extreme(Math.max, 3)];
  });
  table("day-table", [words.time, `kWh ${words.bought}`, ...(sellsAny(day.rows) ? [`kWh ${words.soldShort}`] : []), words.least, words.most], rows);
}

const sellsAny = (rows) => rows.some((row) => row.sold_kwh > 0);
const halfHourOf = (time) => Math.floor(time / HALF_HOUR) * HALF_HOUR;

function select(first, last) {
  const day = shown.day;
  const [low, high] = [Math.ceil(day.from / HALF_HOUR) * HALF_HOUR, halfHourOf(day.to - 1)];
  const inside = (each) => Math.min(Math.max(each, low), high);
  selection = [Math.min(inside(first), inside(last)), Math.max(inside(first), inside(last)) + HALF_HOUR];
  showDay();
}

async function tellSelection() {
  const mine = ++asked;
  if (!selection) { $("day-said").textContent = ""; return; }
  const [from, to] = selection;
  const times = { from: clock(from), to: clock(to) };
  $("day-said").textContent = say(words.reading, times);
  const found = await ask(`/api/cost?${range(from, to)}`);
  if (mine !== asked) return;
  let text = say(words.selected, { ...times, kwh: found.bought_kwh === null ? "–" : kwh3(found.bought_kwh) });
  if (found.cost !== null) text += say(words.selectedCost, { cost: yen(found.cost) });
  if (found.sold_kwh) text += say(words.selectedSold, { kwh: kwh3(found.sold_kwh) });
  if (found.missing) text += say(words.missing, { count: found.missing });
  $("day-said").textContent = text;
}

function watchSelection() {
  const chart = $("day");
  chart.addEventListener("pointerdown", (event) => {
    if (!shown.day || event.button) return;
    chart.setPointerCapture(event.pointerId);
    dragging = halfHourOf(shown.day.at(event.clientX));
    select(dragging, dragging);
  });
  chart.addEventListener("pointermove", (event) => {
    if (dragging !== null) select(dragging, halfHourOf(shown.day.at(event.clientX)));
  });
  const end = () => {
    if (dragging === null) return;
    dragging = null;
    tellSelection().catch(() => {});
  };
  chart.addEventListener("pointerup", end);
  chart.addEventListener("pointercancel", () => { dragging = null; selection = null; showDay(); tellSelection(); });
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -HALF_HOUR, ArrowRight: HALF_HOUR, Home: -DAY_S, End: DAY_S }[event.key];
    if (!shown.day || (step === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    if (step === undefined) { selection = null; showDay(); }
    else if (!selection) { chart.anchor = halfHourOf(shown.day.to - 1) - HALF_HOUR; chart.cursor = chart.anchor; select(chart.anchor, chart.anchor); }
    else {
      const low = Math.ceil(shown.day.from / HALF_HOUR) * HALF_HOUR;
      chart.cursor = Math.min(Math.max((chart.cursor ?? selection[1] - HALF_HOUR) + step, low), halfHourOf(shown.day.to - 1));
      if (!event.shiftKey) chart.anchor = chart.cursor;
      select(chart.anchor ?? selection[0], chart.cursor);
    }
    tellSelection().catch(() => {});
  });
}

// ---- seven days, thirteen months

async function updateWeek() {
  const [cells, days] = await Promise.all(["half-hour", "day"].map((by) => ask(`/api/energy?from=-6d&to=today&by=${by}`)));
  shown.week = { rows: cells.rows, days: days.rows };
  showWeek();
}

function showWeek() {
  if (!shown.week) return;
  const days = shown.week.days.map((row) => ({ iso: row.start.slice(0, 10), label: date(row.start, "weekday"), sum: `${row.state === "partial" ? "≥ " : ""}${kwh(row.bought_kwh)}` }));
  const labels = shown.week.rows.map((row) => row.start.slice(0, 16));
  const twice = new Set(labels.filter((each, number) => labels.indexOf(each) < number)); // when summer time ends
  const named = (iso) => iso.slice(11, 16) + (twice.has(iso.slice(0, 16)) ? iso.slice(19) : "");
  const cells = shown.week.rows.map((row) => {
    const [iso, at] = [row.start.slice(0, 10), row.start.slice(11, 16)];
    return {
      row: days.findIndex((each) => each.iso === iso), column: Number(at.slice(0, 2)) * 2 + (at.slice(3) >= "30" ? 1 : 0),
      bought: row.bought_kwh, sold: row.sold_kwh, from: named(row.start), to: named(row.end), day: date(iso, "day"),
    };
  });
  const sells = sellsAny(shown.week.rows);
  const tell = (cell) => {
    const values = { day: cell.day, from: cell.from, to: cell.to, kwh: kwh3(cell.bought) };
    $("week-said").textContent = say(words.cell, values) + (cell.sold ? say(words.selectedSold, { kwh: kwh3(cell.sold) }) : "");
  };
  weekChart($("week"), { days, cells, say: tell });
  const rows = cells.map((cell) => [`${cell.day} ${cell.from}`, kwh3(cell.bought), ...(sells ? [kwh3(cell.sold)] : [])]);
  table("week-table", [words.time, `kWh ${words.bought}`, ...(sells ? [`kWh ${words.soldShort}`] : [])], rows);
}

async function updateYear() {
  const [year, month] = shown.now.time.slice(0, 7).split("-").map(Number);
  shown.year = await ask(`/api/energy?from=${year - 1}-${String(month).padStart(2, "0")}-01&to=today&by=month`);
  showYear();
}

function showYear() {
  if (!shown.year) return;
  const months = shown.year.rows.map((row) => ({
    label: date(row.start, "month"), name: date(row.start, "year"), bought: row.bought_kwh, sold: row.sold_kwh, isPart: row.state !== "complete", state: row.bought_kwh === null ? "" : { partial: words.partial, running: words.soFar }[row.state] || "",
  }));
  const sells = sellsAny(shown.year.rows);
  for (const each of document.querySelectorAll(".legend")) each.hidden = !sells;
  yearChart($("year"), { months, kwh: (value) => number(Math.round(value)) });
  const rows = months.map((each) => [each.name, kwh(each.bought), ...(sells ? [kwh(each.sold)] : []), each.state]);
  table("year-table", [words.month, `kWh ${words.bought}`, ...(sells ? [`kWh ${words.soldShort}`] : []), ""], rows);
}

async function updateCharts() {
  if (!shown.now) return;
  if (hasMeter(shown.now)) {
    await updateDay();
    await updateWeek();
    await updateYear();
  }
  await updateSparks(($("sensors").dataset.names || "").split(",").filter(Boolean));
}

// ---- how kei is

async function updateState() {
  shown.status = await ask("/api/status");
  showState();
}

function showState() {
  const status = shown.status;
  if (!status) return;
  const count = status.problems.length;
  $("state").classList.toggle("bad", count > 0);
  const text = count ? say(words.problems[count === 1 ? "one" : "other"], { count }) : words.allWell;
  if ($("state").textContent !== text) $("state").textContent = text;
  $("problems").replaceChildren(...status.problems.map((each) => element("li", {}, words.rules[each.rule] || each.rule, element("small", {}, words.parts ? each.parts.map(sentence).join("") : each.detail))));
  const rows = [];
  const { session } = status;
  if (session) {
    const doing = session.joined ? say(words.joined, { span: span(session.since_s) })
      : session.next_try_s !== null ? say(words.pausing, { span: span(session.next_try_s) }) : words.notJoined[session.state] || session.state;
    rows.push([words.meter, `${doing}${language === "ja" ? "、" : ", "}${say(words.answers, { answered: number(session.answered), missed: number(session.missed) })}`, !session.joined]);
    if (session.rssi_dbm !== null) {
      const strength = session.rssi_dbm >= -70 ? "good" : session.rssi_dbm >= -85 ? "fair" : "weak"; // a link needs about -90 dBm
      rows.push([words.signal, say(words[strength], { dbm: Math.round(session.rssi_dbm) }), strength === "weak"]);
    }
  }
  if (status.history) {
    const days = status.history.days_left;
    rows.push([words.memory, days ? say(words.filling, { days }) : words.filled, false]);
  }
  for (const upload of status.uploads) {
    const waiting = upload.waiting === null ? "–" : number(upload.waiting);
    const fails = upload.failures > 0 || upload.refused;
    const doing = fails ? words.failing : upload.last_success ? words.sent : words.neverSent;
    const ago = upload.last_success ? span(epoch(status.time) - epoch(upload.last_success)) : "";
    rows.push([say(words.uploads, { name: upload.target }), say(doing, { ago, waiting }), fails]);
  }
  if (status.disk_free_bytes !== null) rows.push([words.disk, say(words.free, { size: size(status.disk_free_bytes) }), status.disk_free_bytes < 2e8]);
  if (status.clock) rows.push([words.clock, status.clock.synchronised ? words.clockGood : words.clockBad, false]);
  rows.push([words.runs, say(words.running, { version: status.version, span: span(status.up_s) }), false]);
  $("how").replaceChildren(...rows.flatMap(([name, value, isBad]) => [element("dt", {}, name), element("dd", isBad ? { class: "bad" } : {}, value)]));
}

// ---- language and theme

const otherLanguage = () => Object.keys(LANGUAGES).find((each) => each !== language);

function translate() {
  document.documentElement.lang = language;
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = words[each.dataset.word];
  const other = otherLanguage();
  $("language").textContent = LANGUAGES[other];
  $("language").lang = other;
  $("language").setAttribute("aria-label", `${words.languageName}: ${LANGUAGES[other]}`);
  applyTheme();
  showNow();
  showState();
  showDay();
  showWeek();
  showYear();
  if (selection) tellSelection().catch(() => {});
}

function applyTheme() {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = `◐ ${words.themes[theme]}`;
  $("theme").setAttribute("aria-label", `${words.themeName}: ${words.themes[theme]}`);
}

$("language").addEventListener("click", () => {
  speak(otherLanguage());
  translate();
});
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  kept.set("theme", theme);
  applyTheme();
});

translate();
watchSelection();
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (width === window.innerWidth) return; // a phone's address bar that comes and goes
  width = window.innerWidth;
  showDay();
  showWeek();
  showYear();
  drawSparks();
});
updateNow().catch(() => {}).finally(() => {
  repeat(NOW_MS, updateNow);
  repeat(STATE_MS, updateState);
  repeat(CHARTS_MS, updateCharts);
});
