// The charts: SVG, drawn anew for the width that there is. No colours here: they are classes.

const SVG = "http://www.w3.org/2000/svg";
export const HALF_HOUR = 1800;

export function draw(tag, attributes = {}, ...inside) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

function canvas(host, height) {
  const width = Math.max(260, host.clientWidth);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
  host.replaceChildren(svg);
  return [svg, width];
}

function ticks(low, high, count) {
  const rough = Math.max(high - low, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.floor(low / step); at <= Math.ceil(high / step - 1e-9); at++) found.push(at * step);
  return found;
}

// Power over a day: points [epoch s, min, average, max], half-hours [{start, watts}] behind them.
export function powerChart(host, { points, halfHours, from, to, hour, watts, selection }) {
  const [svg, width] = canvas(host, 240);
  const known = points.filter((each) => each[1] !== null);
  const values = [...known.flatMap((each) => [each[1], each[3]]), ...halfHours.map((each) => each.watts)];
  const levels = ticks(Math.min(0, ...values), Math.max(200, ...values), 4);
  const [low, high] = [levels[0], levels[levels.length - 1]];
  const [left, right, top, bottom] = [52, width - 6, 8, 216];
  const x = (time) => left + ((Math.min(Math.max(time, from), to) - from) / (to - from)) * (right - left);
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  for (const level of levels) {
    svg.append(draw("line", { class: level ? "grid" : "zero", x1: left, x2: right, y1: y(level), y2: y(level) }));
    svg.append(draw("text", { x: left - 8, y: y(level) + 4, "text-anchor": "end" }, watts(level)));
  }
  const every = width < 560 ? 6 : 3;
  for (let time = Math.ceil(from / HALF_HOUR) * HALF_HOUR; time < to; time += HALF_HOUR) {
    const at = hour(time);
    if (at.minute || at.hour % every) continue;
    svg.append(draw("line", { class: "grid", x1: x(time), x2: x(time), y1: top, y2: bottom }));
    svg.append(draw("text", { x: Math.min(x(time), width - 17), y: bottom + 18, "text-anchor": "middle" }, at.text));
  }
  for (const each of halfHours) {
    const [a, b] = [y(Math.max(0, each.watts)), y(Math.min(0, each.watts))];
    svg.append(draw("rect", { class: "half", x: x(each.start), width: Math.max(0, x(each.start + HALF_HOUR) - x(each.start) - 1), y: a, height: b - a }));
  }
  let run = [];
  const finish = () => {
    if (!run.length) return;
    const upper = run.map((each) => `${x(each[0]).toFixed(1)} ${y(each[3]).toFixed(1)}`);
    const lower = run.map((each) => `${x(each[0]).toFixed(1)} ${y(each[1]).toFixed(1)}`).reverse();
    const middle = run.map((each) => `${x(each[0]).toFixed(1)} ${y(each[2]).toFixed(1)}`);
    if (run.length === 1) middle.push(`${(x(run[0][0]) + 1).toFixed(1)} ${y(run[0][2]).toFixed(1)}`);
    svg.append(draw("path", { class: "band", d: `M${[...upper, ...lower].join("L")}Z` }));
    svg.append(draw("path", { class: "trace", d: `M${middle.join("L")}` }));
    run = [];
  };
  for (const each of points) {
    if (each[1] === null) finish();
    else run.push(each);
  }
  finish();
  if (selection) {
    const [a, b] = selection.map(x);
    svg.append(draw("rect", { class: "mark", x: a, width: Math.max(1, b - a), y: top, height: bottom - top }));
  }
  return (clientX) => {
    const box = host.getBoundingClientRect();
    const share = ((clientX - box.left) * (width / box.width) - left) / (right - left);
    return from + Math.min(Math.max(share, 0), 1) * (to - from);
  };
}

// Seven days of half-hours: a row a day, the darker the more. `say` is told what is pointed at.
export function weekChart(host, { days, cells, say }) {
  const [left, gap] = [52, 3];
  const [svg, width] = canvas(host, days.length * 27 + 22);
  const right = width - 58;
  const size = (right - left) / 48;
  const most = Math.max(0.1, ...cells.map((each) => Math.max(each.bought || 0, each.sold || 0)));
  for (const hour of [0, 6, 12, 18, 24]) {
    svg.append(draw("text", { x: left + hour * 2 * size, y: days.length * 27 + 16, "text-anchor": "middle" }, String(hour)));
  }
  days.forEach((day, row) => {
    svg.append(draw("text", { x: left - 8, y: row * 27 + 17, "text-anchor": "end" }, day.label));
    svg.append(draw("text", { class: "strong", x: width, y: row * 27 + 17, "text-anchor": "end" }, day.sum));
  });
  for (const each of cells) {
    const sells = (each.sold || 0) > (each.bought || 0);
    const share = (sells ? each.sold : each.bought) / most;
    const isKnown = each.bought !== null || each.sold;
    const cell = draw("rect", {
      class: `cell ${isKnown ? (sells ? "sold" : "bought") : "unknown"}`,
      x: (left + each.column * size).toFixed(2), width: Math.max(1, size - (size > 6 ? 1 : 0.4)).toFixed(2), y: each.row * 27 + gap, height: 22,
    });
    if (isKnown) cell.setAttribute("fill-opacity", (0.08 + 0.92 * share).toFixed(3));
    cell.addEventListener("pointerenter", () => { cell.classList.add("over"); say(each); });
    cell.addEventListener("pointerleave", () => cell.classList.remove("over"));
    svg.append(cell);
  }
}

// A bar for each month; what was sold stands beside what was bought.
export function yearChart(host, { months, kwh }) {
  const [svg, width] = canvas(host, 220);
  const [left, right, top, bottom] = [40, width, 22, 196];
  const values = months.flatMap((each) => [each.bought || 0, each.sold || 0]);
  const levels = ticks(0, Math.max(10, ...values), 3);
  const y = (value) => bottom - (value / levels[levels.length - 1]) * (bottom - top);
  for (const level of levels) {
    svg.append(draw("line", { class: level ? "grid" : "zero", x1: left, x2: right, y1: y(level), y2: y(level) }));
    svg.append(draw("text", { x: left - 8, y: y(level) + 4, "text-anchor": "end" }, kwh(level)));
  }
  const room = (right - left) / months.length;
  const sells = months.some((each) => each.sold > 0);
  const size = Math.min(44, room * (sells ? 0.38 : 0.66));
  months.forEach((month, number) => {
    const middle = left + room * (number + 0.5);
    const bar = (value, kind, at) => {
      if (value === null) return;
      svg.append(draw("rect", { class: `${kind}${month.isPart ? " part" : ""}`, x: at, width: size, y: y(value), height: Math.max(0, bottom - y(value)), rx: 2 }));
    };
    bar(month.bought, "bought", sells ? middle - size - 1 : middle - size / 2);
    if (sells) bar(month.sold, "sold", middle + 1);
    if (month.bought !== null && room > 34) {
      svg.append(draw("text", { class: "strong", x: sells ? middle - size / 2 - 1 : middle, y: y(month.bought) - 5, "text-anchor": "middle" }, kwh(month.bought)));
    }
    if (room > 30 || number % 2 === (months.length - 1) % 2) {
      svg.append(draw("text", { x: middle, y: bottom + 18, "text-anchor": "middle" }, month.label));
    }
  });
}

// The last day of a sensor, without axes.
export function sparkline(host, { points, from, to }) {
  const [svg, width] = canvas(host, 40);
  const known = points.filter((each) => each[1] !== null);
  if (known.length < 2) { host.replaceChildren(); return; }
  const low = Math.min(...known.map((each) => each[1]));
  const high = Math.max(...known.map((each) => each[3]), low + 1e-6);
  let path = "";
  let pen = "M";
  for (const each of points) {
    if (each[1] === null) { pen = "M"; continue; }
    const x = ((each[0] - from) / (to - from)) * width;
    path += `${pen}${x.toFixed(1)} ${(36 - ((each[2] - low) / (high - low)) * 32).toFixed(1)}`;
    pen = "L";
  }
  svg.append(draw("path", { class: "trace", d: path }));
}

