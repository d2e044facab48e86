// The page's charts: uPlot with one look, one cursor for all, a legend that follows the cursor, a text summary and a
// table in its place for those who read instead of look.
import {useEffect, useMemo, useRef} from 'preact/hooks';
import {signal} from '@preact/signals';
import {html} from './html.js';
import {clock} from './format.js';
import {shownTheme, zone} from './store.js';

const uPlot = window.uPlot;

/** A colour of the theme, by its token's name. */
export const color = name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

/** A colour with another opacity. */
export const faint = (name, share) => `color-mix(in srgb, ${color(name)} ${share * 100}%, transparent)`;

const FONT = '11px "Inter Variable", system-ui, sans-serif';

/** The axes all charts share. values formats the left axis. */
export const axes = (values, own = {}) => [
  {
    stroke: color('muted'), grid: {show: false}, ticks: {show: false}, font: FONT, size: 24, gap: 4, space: 70,
    values: (u, splits) => splits.map(s => clock(s * 1000, zone.value === 'utc', false)),
  },
  {
    stroke: color('muted'), grid: {stroke: color('line'), width: 1}, ticks: {show: false}, font: FONT, size: 46, gap: 6, space: 26,
    values, ...own,
  },
];

/**
 * A chart. build returns uPlot's series, axes, scales and hooks; it runs again when the theme, the zone or its key
 * changes. data is [x, …series]; from and to bound x.
 */
export function Chart({build, build_key: key = '', data, from, to, summary, testid, cursor}) {
  const box = useRef(null);
  const plot = useRef(null);
  const again = `${shownTheme.value} ${zone.value} ${key}`;

  useEffect(() => {
    const size = () => ({width: Math.max(120, box.current.clientWidth), height: Math.max(80, box.current.clientHeight)});
    const own = build();
    const options = {
      ...size(), padding: [8, 26, 0, 0], legend: {show: false},
      ...own,
      cursor: {sync: {key: 'livedb', scales: ['x', null]}, drag: {x: false, y: false}, y: false, points: {size: 6, width: 1.5},
        bind: {dblclick: () => null}},
      hooks: {...own.hooks, setCursor: [u => cursor && (cursor.value = u.cursor.left >= 0 ? u.cursor.idx ?? null : null)]},
    };
    plot.current = new uPlot(options, data, box.current);
    plot.current.setScale('x', {min: from, max: to});
    const watch = new ResizeObserver(() => box.current && plot.current?.setSize(size()));
    watch.observe(box.current);
    return () => {
      watch.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [again]);

  useEffect(() => {
    if (!plot.current) return;
    plot.current.batch(() => {
      plot.current.setData(data, false);
      plot.current.setScale('x', {min: from, max: to});
    });
  }, [data, from, to, again]);

  return html`
    <div class="chart" ref=${box} role="img" aria-label=${summary} data-testid=${testid} data-points=${data[0].length}></div>`;
}

/** Options of an axis that counts: no parts of one. */
export const WHOLE = {incrs: [1, 2, 5, ...[1, 2, 3, 4, 5, 6, 7].flatMap(e => [1, 2, 2.5, 5].map(n => n * 10 ** e))]};

/** A signal of the cursor's index in a chart; null when it is not in the chart. */
export const useCursor = () => useMemo(() => signal(null), []);

/** A legend: [{name, tone, value}], value being text: at the cursor, else now. */
export const Legend = ({items}) => html`
  <ul class="legend" aria-hidden="true">
    ${items.map(({name, tone, value}) => html`
      <li key=${name}><i class=${'swatch tone-' + tone}></i>${name}<b>${value}</b></li>`)}
  </ul>`;

/** What stands behind a panel's title: its unit, or the time under the cursor. */
export const Unit = ({text, time}) => html`
  <span class="unit">${time ? clock(time * 1000, zone.value === 'utc', false) : text}</span>`;

/** A group of buttons of which one is pressed. */
export const Choice = ({label, value, options, onChange, testid}) => html`
  <div class="choice" role="group" aria-label=${label} data-testid=${testid}>
    ${options.map(([option, text]) => html`
      <button key=${option} type="button" aria-pressed=${option === value} data-testid=${`${testid}-${option}`}
        onClick=${() => onChange(option)}>${text}</button>`)}
  </div>`;

/** The button that puts a table in a chart's place. */
export const TableToggle = ({on, onToggle, testid}) => html`
  <button type="button" class="plain" aria-pressed=${on} data-testid=${testid} onClick=${() => onToggle(!on)}>Table</button>`;

/** A table in a chart's place. Each row begins with its head. */
export const Table = ({caption, head, rows, testid}) => html`
  <div class="table-box" tabindex="0" role="region" aria-label=${caption}>
    <table class="numbers" data-testid=${testid}>
      <caption class="hidden">${caption}</caption>
      <thead><tr>${head.map(h => html`<th scope="col" key=${h}>${h}</th>`)}</tr></thead>
      <tbody>
        ${rows.map(([first, ...cells]) => html`
          <tr key=${first}><th scope="row">${first}</th>${cells.map((cell, i) => html`<td key=${i}>${cell}</td>`)}</tr>`)}
      </tbody>
    </table>
  </div>`;

/** The last minute of a chart's data as rows of a table, the newest first. */
export const rowsOf = ([xs, ...columns], write) => xs
  .map((x, i) => [clock(x * 1000, zone.value === 'utc', false), ...columns.map(column => write(column[i]))])
  .slice(-60)
  .reverse();

/** The index of the first x at or after from. */
export function firstFrom(xs, from) {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last value of a column that is known. */
export function lastKnown(column) {
  for (let i = column.length - 1; i >= 0 && i > column.length - 5; i--) if (column[i] != null) return column[i];
  return null;
}

/** A round upper end for an axis that begins at 0. */
export const roundUp = max => {
  if (!(max > 3)) return 4;
  const step = 10 ** Math.floor(Math.log10(max));
  return Math.ceil((max * 1.08) / step * 2) / 2 * step;
};
