// How many rows are written, and how many events arrive at each stage, a second.
import {useState} from 'preact/hooks';
import {html} from './html.js';
import {axes, Chart, Choice, color, faint, firstFrom, lastKnown, Legend, roundUp, Table, Unit, useCursor, WHOLE} from './chart.js';
import {clock, rate, short} from './format.js';
import {history, historyVersion, range, RANGES, second, zone} from './store.js';

// column in the history, name, colour token
const SERIES = [
  [2, 'written', 'series-1'],
  [3, 'captured', 'series-2'],
  [4, 'processed', 'series-3'],
  [5, 'shown', 'series-4'],
];

const build = () => ({
  series: [{}, ...SERIES.map(([, , tone], i) => ({
    stroke: color(tone), width: i === 3 ? 2 : 1.5, fill: i === 3 ? faint(tone, .1) : undefined, points: {show: false}, spanGaps: false,
  }))],
  scales: {x: {time: true}, y: {range: (u, min, max) => [0, roundUp(max)]}},
  axes: axes((u, splits) => splits.map(short), WHOLE),
});

export function Throughput() {
  const [table, setTable] = useState(false);
  const cursor = useCursor();
  historyVersion.value;
  const columns = history.columns;
  const to = columns[0][columns[0].length - 1] ?? second.value;
  const start = firstFrom(columns[0], to - range.value - 1);
  const cut = i => columns[i].slice(start);
  const data = [cut(0), ...SERIES.map(([i]) => cut(i))];
  const at = cursor.value;
  const value = s => (at != null && at < data[0].length ? data[s + 1][at] : lastKnown(data[s + 1]));
  const utc = zone.value === 'utc';
  const peak = data[4].reduce((most, v) => Math.max(most, v || 0), 0);

  return html`
    <section class="panel panel-throughput" aria-labelledby="throughput-title" data-testid="throughput">
      <header>
        <h2 id="throughput-title">Throughput <${Unit} text="a second" time=${at != null && data[0][at]} /></h2>
        <${Choice} label="How far back the charts show" value=${range.value} options=${RANGES} onChange=${v => (range.value = v)} testid="range" />
        <button type="button" class="plain" aria-pressed=${table} data-testid="throughput-table-toggle" onClick=${() => setTable(!table)}>Table</button>
      </header>
      <${Legend} items=${SERIES.map(([, name, tone], s) => ({name, tone, value: rate(value(s))}))} />
      ${table
        ? html`<${Table} caption="Rows and events a second, the newest first" testid="throughput-table" head=${['Time', ...SERIES.map(s => s[1])]}
            rows=${data[0].slice(-60).map((t, i, {length}) => [clock(t * 1000, utc, false), ...SERIES.map((_, s) => rate(data[s + 1][data[0].length - length + i]))]).reverse()} />`
        : html`<${Chart} build=${build} data=${data} from=${to - range.value} to=${to} cursor=${cursor} testid="throughput-chart"
            summary=${`Throughput: ${rate(value(1))} events a second captured, ${rate(value(3))} shown on this page, at most ${rate(peak)} in the time shown.`} />`}
    </section>`;
}
