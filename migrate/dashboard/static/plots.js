// The two plots: deliveries per second as lines, latency as bars. Each has its numbers as text. until phase 3

import { $, Table, attribute, element, keyed, set, shape } from "./elements.js";
import { milliseconds, percent, rate } from "./format.js";
import { t } from "./strings.js";

const WIDTH = 600;
const HEIGHT = 160;
const SIDES = ["legacy", "sse"];
// The shadow is drawn while there is one.
const LINES = [...SIDES, "shadow"];
const SPAN_S = 120;
// Two missed seconds are a gap in what is known, and drawn as one.
const GAP_S = 2.5;
const USUAL = 0.9;
const TOWERS = 2;

/** The smallest round number that is not below `value`. */
export function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

/**
 * How high an axis goes: up to the highest value; when a burst towers over all else, so that all else can be seen, and
 * the burst is cut. Returns {top, isCut}. A burst is what lasts less than a tenth of the time.
 */
export function axis(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const highest = Math.max(1, sorted.at(-1) ?? 0);
  const usual = sorted[Math.floor((sorted.length - 1) * USUAL)] ?? 0;
  const top = nice(Math.max(1, usual * 1.5));
  return usual > 0 && highest > top * TOWERS ? { top, isCut: true } : { top: nice(highest), isCut: false };
}

function frame() {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  for (const y of [0, HEIGHT / 2, HEIGHT]) svg.append(shape("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }));
  const scale = [0, 1, 2].map(() => element("span"));
  const root = element(
    "div",
    { class: "plot" },
    element("div", { class: "scale", "aria-hidden": "true" }, ...scale),
    svg,
  );
  return { root, svg, scale };
}

/** [{t, legacy, sse}] as the path of one side; a second without a number is a gap. */
function line(series, side, end, top) {
  let path = "";
  let last = -Infinity;
  for (const point of series) {
    if (!Number.isFinite(point[side])) {
      last = -Infinity;
      continue;
    }
    const x = WIDTH - ((end - point.t) / SPAN_S) * WIDTH;
    const y = HEIGHT - (point[side] / top) * HEIGHT;
    path += `${point.t - last > GAP_S ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    last = point.t;
  }
  return path;
}

export function makeDeliveries() {
  const holder = $("deliveries");
  const empty = $("deliveries-empty");
  const { root, svg, scale } = frame();
  const paths = Object.fromEntries(LINES.map((side) => [side, shape("path", { class: `line ${side}` })]));
  svg.append(...Object.values(paths));
  const figures = Object.fromEntries(LINES.map((side) => [side, element("b")]));
  const legend = element(
    "p",
    { class: "legend" },
    ...LINES.map((side) => element("span", { class: side }, `${t(`stack.${side}`)} `, figures[side])),
  );
  const peak = element("span", { class: "peak", "aria-hidden": "true" });
  // Beside the drawing and not in it: what is in it is stretched.
  root.append(peak);
  const drawPeak = (isCut, series, end) => {
    peak.hidden = !isCut;
    if (!isCut) return;
    const height = (point) => Math.max(...LINES.map((side) => point[side]).filter(Number.isFinite), 0);
    const highest = series.reduce((best, point) => (height(point) > height(best) ? point : best));
    const left = 100 - ((end - highest.t) / SPAN_S) * 100;
    // Text on the side where there is room.
    attribute(peak, "data-side", left > 50 ? "left" : "right");
    peak.style.setProperty("--at", `${left}%`);
    set(peak, t("deliveries.peak", { rate: rate(height(highest)) }));
  };
  const from = element("span");
  const times = element("p", { class: "times", "aria-hidden": "true" }, from, element("span", { text: t("deliveries.now") }));
  const columns = SIDES.map((side) => ({ label: t(`stack.${side}`), kind: "number", text: (row) => rate(row[side]) }));
  const table = new Table(t("deliveries.caption"), [
    { label: t("deliveries.when"), header: true, text: (row) => `${row.age}–${row.age + 10}` },
    ...columns,
  ]);
  const more = element("details", {}, element("summary", { text: t("deliveries.table") }), table.root);
  holder.append(legend, root, times, more);

  return ({ sections: { deliveries } }) => {
    const end = deliveries?.series?.at(-1)?.t ?? 0;
    const series = (deliveries?.series ?? []).filter((point) => point.t > end - SPAN_S);
    empty.hidden = series.length > 0;
    holder.hidden = !series.length;
    if (!series.length) return;
    const values = (side) => series.map((point) => point[side]).filter(Number.isFinite);
    const { top, isCut } = axis(LINES.flatMap(values));
    drawPeak(isCut, series, end);
    scale.forEach((mark, at) => set(mark, rate(top * (1 - at / 2))));
    figures.shadow.parentElement.hidden = !values("shadow").length;
    for (const side of LINES) {
      attribute(paths[side], "d", line(series, side, end, top));
      set(figures[side], `${rate(deliveries[`${side}_per_s`] ?? series.at(-1)[side])}/s`);
    }
    set(from, t("deliveries.then", { seconds: SPAN_S }));
    const bounds = (side) => ({
      [side]: rate(series.at(-1)[side]),
      [`${side}Low`]: rate(Math.min(...values(side))), // of none: infinite, which is said as –
      [`${side}High`]: rate(Math.max(...values(side))),
    });
    const seconds = Math.round(end - series[0].t);
    attribute(svg, "aria-label", t("deliveries.alt", { seconds, ...bounds("legacy"), ...bounds("sse") }));
    if (more.open) table.render(tens(series, end), (row) => row.age);
  };
}

/** Means of ten seconds each, the latest first. */
function tens(series, end) {
  const rows = [];
  for (let age = 0; age < SPAN_S; age += 10) {
    const within = series.filter((point) => end - point.t >= age && end - point.t < age + 10);
    if (!within.length) continue;
    const mean = (side) => {
      const known = within.map((point) => point[side]).filter(Number.isFinite);
      return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : NaN;
    };
    rows.push({ age, legacy: mean("legacy"), sse: mean("sse") });
  }
  return rows;
}

/** The words for bin `at` of `count`: counts beyond the last edge have a bin of their own, or have not. */
export function binName(edges, at) {
  if (at === 0) return `≤ ${milliseconds(edges[0])}`;
  if (at >= edges.length) return `> ${milliseconds(edges.at(-1))}`;
  return `${milliseconds(edges[at - 1])} – ${milliseconds(edges[at])}`;
}

function makeBar({ side }) {
  const title = shape("title");
  const root = shape("rect", { class: side }, title);
  return {
    root,
    update({ x, width, height, words }) {
      const place = { x, width, y: HEIGHT - height, height };
      for (const [name, value] of Object.entries(place)) attribute(root, name, value.toFixed(1));
      set(title, words);
    },
  };
}

function makeMark() {
  const root = element("span");
  return {
    root,
    update({ words, left }) {
      set(root, words);
      root.style.left = `${left}%`;
    },
  };
}

export function makeLatency() {
  const holder = $("latency");
  const empty = $("latency-empty");
  const { root, svg, scale } = frame();
  const bars = shape("g");
  svg.append(bars);
  const marks = element("p", { class: "marks", "aria-hidden": "true" });
  const table = new Table(t("latency.caption"), [
    { label: t("latency.stack"), header: true, text: (row) => t(`stack.${row.side}`), tone: (row) => row.side },
    { label: t("latency.p50"), kind: "number", text: (row) => milliseconds(row.p50) },
    { label: t("latency.p99"), kind: "number", text: (row) => milliseconds(row.p99) },
  ]);
  holder.append(table.root, root, marks);

  return ({ sections: { latency } }) => {
    const edges = latency?.edges_ms ?? [];
    const total = (side) => (latency?.[side] ?? []).reduce((sum, one) => sum + one, 0);
    const totals = Object.fromEntries(SIDES.map((side) => [side, total(side)]));
    empty.hidden = totals.legacy + totals.sse > 0;
    holder.hidden = !empty.hidden;
    if (holder.hidden) return;
    const rows = SIDES.map((side) => ({ side, ...latency[`${side}_p`] }));
    table.render(rows, (row) => row.side);
    const count = Math.max(...SIDES.map((side) => (latency[side] ?? []).length));
    const shares = Object.fromEntries(
      SIDES.map((side) => {
        const part = (at) => (totals[side] ? ((latency[side][at] ?? 0) / totals[side]) * 100 : 0);
        return [side, Array.from({ length: count }, (_, at) => part(at))];
      }),
    );
    const top = nice(Math.max(1, ...shares.legacy, ...shares.sse));
    scale.forEach((mark, at) => set(mark, percent(top * (1 - at / 2))));
    const each = WIDTH / count;
    const drawn = SIDES.flatMap((side, nth) =>
      shares[side].map((value, at) => ({
        key: `${side} ${at}`,
        side,
        x: each * (at + 0.1 + nth * 0.4),
        width: each * 0.38,
        height: (value / top) * HEIGHT,
        words: t("latency.bin", { bin: binName(edges, at), legacy: percent(shares.legacy[at]), sse: percent(shares.sse[at]) }),
      })),
    );
    keyed(bars, drawn, ({ key }) => key, makeBar);
    const every = Math.max(1, Math.ceil(edges.length / 4));
    const shown = edges
      .map((edge, at) => ({ at, words: milliseconds(edge), left: ((at + 1) / count) * 100 }))
      .filter(({ at }) => at % every === every - 1 && at + 1 < count);
    keyed(marks, shown, ({ at }) => String(at), makeMark);
    const words = ({ side, p50, p99 }) =>
      t("latency.alt.one", { stack: t(`stack.${side}`), p50: milliseconds(p50), p99: milliseconds(p99) });
    attribute(svg, "aria-label", t("latency.alt", { legacy: words(rows[0]), sse: words(rows[1]) }));
  };
}
