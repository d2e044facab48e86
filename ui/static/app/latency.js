// How long a commit takes to this page: quantiles of the last seconds, and their history over a map of where all
// transactions lay.
import {useState} from 'preact/hooks';
import {html} from './html.js';
import {axes, Chart, color, firstFrom, rowsOf, Table, TableToggle, Unit, useCursor} from './chart.js';
import {ms, plural} from './format.js';
import {flow, history, historyVersion, latency, range, second} from './store.js';

const SERIES = [
  [6, 'p50', 'series-4'],
  [8, 'p99', 'series-5'],
];
const HEAT = 10; // the map's column in the history

const TILES = [
  ['p50', "Half of the last ten seconds' transactions took at most this", 'series-4'],
  ['p95', '19 of 20 took at most this', ''],
  ['p99', '99 of 100 took at most this', 'series-5'],
  ['max', 'The slowest of the last ten seconds', ''],
];

// The map's rows are half octaves from 0.1 ms (latency.go): row k ends at this many milliseconds.
const edge = k => .1 * 2 ** ((4 * k + 3) / 8);

// Draws the map under the lines: the darker, the more of that second's transactions lay there.
function drawHeat(u) {
  if (!heatNow.length) return;
  const {ctx, bbox, data: [xs]} = u;
  const x = i => Math.round(u.valToPos(xs[i], 'x', true));
  const y = v => Math.round(u.valToPos(Math.max(v, .05), 'y', true));
  const width = Math.max(1, Math.ceil(u.valToPos(xs[0] + 1, 'x', true) - u.valToPos(xs[0], 'x', true)));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = color('series-4');
  heatNow.forEach((column, i) => {
    const [first, ...counts] = column || [];
    const all = counts.reduce((sum, n) => sum + n, 0);
    counts.forEach((n, k) => {
      if (!n) return;
      const [low, high] = [y(edge(first + k - 1)), y(edge(first + k))];
      ctx.globalAlpha = .07 + .38 * Math.sqrt(n / all);
      ctx.fillRect(x(i) - width, high, width, Math.max(1, low - high));
    });
  });
  ctx.restore();
}

// The map's counts for the chart that is about to be drawn: they are columns of columns, which uPlot's data cannot be.
let heatNow = [];

// Whole decades around the values, at least one: an axis without length would never end.
const decades = (min, max) => {
  if (!(min > 0) || !Number.isFinite(max)) return [1, 100];
  const low = Math.floor(Math.log10(min));
  return [10 ** low, 10 ** Math.max(low + 1, Math.ceil(Math.log10(max)))];
};

const powers = (min, max) => {
  const all = [];
  for (let v = min; v <= max * 1.001; v *= 10) all.push(v);
  return all;
};

const write = v => {
  if (v == null) return '';
  return v < 10 ? `${Number(v.toPrecision(1))} ms` : ms(v).replace('.0 ', ' ');
};

const build = () => ({
  series: [{}, ...SERIES.map(([, , tone]) => ({stroke: color(tone), width: 1.5, points: {show: false}}))],
  scales: {x: {time: true}, y: {distr: 3, log: 10, range: (u, min, max) => decades(min, max)}},
  axes: axes((u, splits) => splits.map(write), {splits: (u, axis, min, max) => powers(min, max)}),
  hooks: {drawClear: [drawHeat]},
});

export function Latency() {
  const [table, setTable] = useState(false);
  const cursor = useCursor();
  historyVersion.value;
  const columns = history.columns;
  const to = columns[0][columns[0].length - 1] ?? second.value;
  const start = firstFrom(columns[0], to - range.value - 1);
  const data = [0, ...SERIES.map(([column]) => column)].map(column => columns[column].slice(start));
  heatNow = columns[HEAT].slice(start);
  const at = cursor.value;
  const hovered = at != null && data[0][at];

  return html`
    <section class="panel panel-latency" aria-labelledby="latency-title" data-testid="latency">
      <header>
        <h2 id="latency-title">Latency <${Unit} text="commit → page" time=${hovered} /></h2>
        ${hovered && html`
          <span class="unit">${SERIES.map(([, name], s) => `${name} ${ms(data[s + 1][at])}`).join(', ')}</span>`}
        <${TableToggle} on=${table} onToggle=${setTable} testid="latency-table-toggle" />
      </header>
      <dl class="tiles">
        ${TILES.map(([name, title, tone]) => html`<${Tile} key=${name} name=${name} title=${title} tone=${tone} />`)}
      </dl>
      <${Stages} />
      <${Skew} />
      ${table
        ? html`
          <${Table} caption="Latency by second, the newest first" testid="latency-table" head=${['Time', 'p50', 'p99']}
            rows=${rowsOf(data, ms)} />`
        : html`
          <${Chart} build=${build} data=${data} from=${to - range.value} to=${to} cursor=${cursor} testid="latency-chart"
            summary=${summary()} />`}
    </section>`;
}

function Tile({name, title, tone}) {
  const q = latency.value?.events;
  return html`
    <div class="tile" title=${title}>
      <dt>${tone && html`<i class=${'swatch tone-' + tone}></i>`}${name}</dt>
      <dd data-testid=${'latency-' + name}>${q?.count > 0 ? ms(q[name]) : '–'}</dd>
    </div>`;
}

function summary() {
  const q = latency.value?.events;
  if (!(q?.count > 0)) return 'No transaction in the last seconds.';
  return `Latency from commit to this page over the last ${latency.value.seconds} seconds: half within ${ms(q.p50)}, `
    + `99 of 100 within ${ms(q.p99)}, at most ${ms(q.max)}, ${plural(q.count, 'transaction')}.`;
}

// What else is known of where the time goes.
function Stages() {
  const lag = role => {
    const stage = flow.value?.stages[role];
    return stage?.rates.events > 0 && stage.numbers.lag_seconds != null ? ms(stage.numbers.lag_seconds * 1000) : null;
  };
  const view = latency.value?.view;
  const parts = [
    ['in Kafka', lag('cdc')],
    ['in the view', lag('process')],
    ['view on page', view?.count > 0 ? ms(view.p50) : null],
  ].filter(([, value]) => value);
  return parts.length > 0 && html`
    <p class="stages" data-testid="latency-stages">
      ${parts.map(([name, value]) => html`<span key=${name}>${name} <b>${value}</b></span>`)}
    </p>`;
}

// A negative latency says that the clocks disagree, so that every other one is wrong as well.
const Skew = () => latency.value?.skew_ms > 1 && html`
  <p class="caution" data-testid="skew">
    The source's clock is ahead of this machine's by at least ${ms(latency.value.skew_ms)}: these latencies are too low.
  </p>`;
