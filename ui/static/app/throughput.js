// How many rows are written, and how many events arrive at each stage, a second.
import {useState} from 'preact/hooks';
import {html} from './html.js';
import {
  axes, Chart, Choice, color, faint, firstFrom, lastKnown, Legend, roundUp, rowsOf, Table, TableToggle, Unit, useCursor, WHOLE,
} from './chart.js';
import {rate, short} from './format.js';
import {history, historyVersion, range, RANGES, second} from './store.js';

// Column in the history, name, colour token. What this page shows is drawn last, above the others.
const SERIES = [
  [2, 'written', 'series-1'],
  [3, 'captured', 'series-2'],
  [4, 'processed', 'series-3'],
  [5, 'shown', 'series-4'],
];
const NAMES = SERIES.map(([, name]) => name);

const build = () => ({
  series: [{}, ...SERIES.map(([, name, tone]) => ({
    stroke: color(tone),
    width: name === 'shown' ? 2 : 1.5,
    fill: name === 'shown' ? faint(tone, .1) : undefined,
    points: {show: false},
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
  const data = [0, ...SERIES.map(([column]) => column)].map(column => columns[column].slice(start));
  const at = cursor.value;
  const hovered = at != null && data[0][at];
  const value = s => (hovered ? data[s + 1][at] : lastKnown(data[s + 1]));

  return html`
    <section class="panel panel-throughput" aria-labelledby="throughput-title" data-testid="throughput">
      <header>
        <h2 id="throughput-title">Throughput <${Unit} text="a second" time=${hovered} /></h2>
        <${Choice} label="How far back the charts show" value=${range.value} options=${RANGES}
          onChange=${v => (range.value = v)} testid="range" />
        <${TableToggle} on=${table} onToggle=${setTable} testid="throughput-table-toggle" />
      </header>
      <${Legend} items=${SERIES.map(([, name, tone], s) => ({name, tone, value: rate(value(s))}))} />
      ${table
        ? html`
          <${Table} caption="Rows and events a second, the newest first" testid="throughput-table" head=${['Time', ...NAMES]}
            rows=${rowsOf(data, rate)} />`
        : html`
          <${Chart} build=${build} data=${data} from=${to - range.value} to=${to} cursor=${cursor} testid="throughput-chart"
            summary=${summary(data)} />`}
    </section>`;
}

function summary(data) {
  const [, captured, , shown] = data.slice(1).map(lastKnown); // in the order of SERIES
  const peak = Math.max(0, ...data[4].filter(v => v != null));
  return `Throughput: ${rate(captured)} events a second captured, ${rate(shown)} shown on this page, `
    + `at most ${rate(peak)} in the time shown.`;
}
