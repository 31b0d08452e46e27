// Words, numbers and times as the reader writes them, and the elements that hold them.

import { WORDS } from "./words.js";

const DAY_S = 86400;
const NAMES_MAX = 10; // in one sentence

// What the browser keeps for this page.
export const kept = {
  get(name) { try { return localStorage.getItem(name); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(name, value); } catch { /* a private window */ } },
};

export let language = chosenLanguage();
export let words = WORDS[language];
let zone = 0; // of kei, seconds east of Greenwich

export function speak(name) {
  language = name;
  words = WORDS[name];
  kept.set("language", name);
}

function chosenLanguage() {
  const own = kept.get("language");
  if (own in WORDS) return own;
  const wanted = (navigator.languages || [navigator.language]).map((each) => String(each).slice(0, 2));
  return wanted.find((each) => each in WORDS) || "en";
}

export const say = (text, values = {}) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
export const number = (value, digits = 0) => value === null || value === undefined ? "–"
  : new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
export const kwh = (value) => number(value, value !== null && Math.abs(value) >= 1000 ? 0 : 1);
export const watts = (value) => number(Math.round(value));
export const yen = (value) => (language === "ja" ? `${number(Math.round(value))} 円` : `¥${number(Math.round(value))}`);
export const percent = (value) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(value);

export function span(seconds) {
  const units = words.units;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}${units.s}`;
  const parts = [["d", DAY_S], ["h", 3600], ["min", 60]];
  const first = parts.findIndex(([, size]) => whole >= size);
  const [name, size] = parts[first];
  let text = `${Math.floor(whole / size)}${units[name]}`;
  const next = parts[first + 1];
  const rest = next ? Math.floor((whole % size) / next[1]) : 0;
  if (rest) text += ` ${rest}${units[next[0]]}`;
  return text;
}

// A problem's details, as a part of them has them in `/api/status`.
export function sentence(part) {
  const shown = Object.entries(part).map(([name, value]) => [name, shownOf(name, value)]);
  return say(words.parts[part.what] ?? "", Object.fromEntries(shown));
}

function shownOf(name, value) {
  if (typeof value === "number") return span(value);
  if (name === "state") return words.notJoined[value] ?? value;
  if (name === "fault") return words.faults[value.split(":")[0]] ?? value;
  if (!Array.isArray(value)) return value;
  const names = value.slice(0, NAMES_MAX).map(([each, seconds]) => (seconds === null ? each : `${each}（${span(seconds)}）`));
  const more = value.length - names.length;
  return names.join("、") + (more ? say(words.more, { count: more }) : "");
}

export function size(bytes) {
  const giga = bytes / 1e9;
  return giga >= 1 ? `${number(giga, giga < 10 ? 1 : 0)} GB` : `${number(bytes / 1e6)} MB`;
}

// Times are those of the place where kei is, wherever the browser is; `iso` is one of kei's.
export function goBy(iso) {
  const found = /([+-])(\d\d):(\d\d)/.exec(iso.slice(19));
  zone = found ? (found[1] === "-" ? -1 : 1) * (found[2] * 3600 + found[3] * 60) : 0;
}
export const there = (epoch) => new Date((epoch + zone) * 1000).toISOString();
export const clock = (epoch) => there(epoch).slice(11, 16);
export const epoch = (iso) => Date.parse(iso) / 1000;
export function date(iso, style) {
  const formats = { day: { month: "short", day: "numeric" }, weekday: { weekday: "short", day: "numeric" }, month: { month: "short" }, year: { year: "numeric", month: "short" } };
  return new Intl.DateTimeFormat(language, { ...formats[style], timeZone: "UTC" }).format(new Date(`${iso.slice(0, 10)}T00:00:00Z`)).replace(/ /g, "\u00a0");
}

export const kwh3 = (value) => (value === null ? "–" : new Intl.NumberFormat(language, { maximumFractionDigits: 3 }).format(value));

export function element(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

export function table(host, heads, rows) {
  const head = element("tr", {}, ...heads.map((each) => element("th", { scope: "col" }, each)));
  const body = rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((each) => element("td", {}, each))));
  document.getElementById(host).replaceChildren(element("table", { "aria-labelledby": host.replace("-table", "-title") }, element("thead", {}, head), element("tbody", {}, ...body)));
}
