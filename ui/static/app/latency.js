// How long a commit takes to this page: quantiles of the last seconds, and their history over a map of where all
// transactions lay.
import {useState} from 'preact/hooks';
import {html} from './html.js';
import {axes, Chart, color, firstFrom, Table, Unit, useCursor} from './chart.js';
import {age, clock, ms, plural} from './format.js';
import {flow, history, historyVersion, latency, range, second, shownTheme, zone} from './store.js';

const SERIES = [[6, 'p50', 'series-4'], [8, 'p99', 'series-5']];
const HEAT = 10;

// The heat map's rows are half octaves from 0.1 ms (latency.go): row k ends at this many milliseconds.
const edge = k => .1 * 2 ** ((4 * k + 3) / 8);

// Draws the map under the lines: the darker, the more of that second's transactions lay there.
function drawHeat(u) {
  const heat = u.heat;
  if (!heat?.length) return;
  const {ctx} = u;
  const {left, top, width, height} = u.bbox;
  const step = Math.max(1, Math.ceil(u.valToPos(u.data[0][0] + 1, 'x', true) - u.valToPos(u.data[0][0], 'x', true)));
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.fillStyle = color('series-4');
  heat.forEach((column, i) => {
    if (!column || column.length < 2) return;
    const [first, ...counts] = column;
    const all = counts.reduce((sum, n) => sum + n, 0);
    const x = Math.round(u.valToPos(u.data[0][i], 'x', true));
    counts.forEach((n, k) => {
      if (!n) return;
      ctx.globalAlpha = .07 + .38 * Math.sqrt(n / all);
      const low = u.valToPos(Math.max(edge(first + k - 1), .05), 'y', true);
      const high = u.valToPos(edge(first + k), 'y', true);
      ctx.fillRect(x - step, Math.round(high), step, Math.max(1, Math.round(low) - Math.round(high)));
    });
  });
  ctx.restore();
}

const build = () => ({
  series: [{}, ...SERIES.map(([, , tone]) => ({stroke: color(tone), width: 1.5, points: {show: false}, spanGaps: false}))],
  scales: {x: {time: true}, y: {distr: 3, log: 10, range: (u, min, max) => decades(min, max)}},
  axes: axes((u, splits) => splits.map(v => (v == null ? '' : v < 10 ? `${v} ms` : ms(v).replace('.0 ', ' '))), {splits: (u, axis, min, max) => powers(min, max)}),
  hooks: {drawClear: [drawHeat]},
});

const powers = (min, max) => {
  const all = [];
  for (let v = min; v <= max * 1.001; v *= 10) all.push(v);
  return all;
};

// Whole decades around the values, at least one: an axis without length would never end.
const decades = (min, max) => {
  if (!(min > 0) || !Number.isFinite(max)) return [1, 100];
  const low = Math.floor(Math.log10(min));
  return [10 ** low, 10 ** Math.max(low + 1, Math.ceil(Math.log10(max)))];
};

const Tile = ({name, title, value, tone}) => html`
  <div class="tile" title=${title}>
    <dt>${tone && html`<i class=${'swatch tone-' + tone}></i>`}${name}</dt>
    <dd data-testid=${'latency-' + name}>${value}</dd>
  </div>`;

export function Latency() {
  const [table, setTable] = useState(false);
  const cursor = useCursor();
  historyVersion.value;
  const columns = history.columns;
  const to = columns[0][columns[0].length - 1] ?? second.value;
  const start = firstFrom(columns[0], to - range.value - 1);
  const cut = i => columns[i].slice(start);
  const data = [cut(0), ...SERIES.map(([i]) => cut(i))];
  const q = latency.value?.events;
  const known = q?.count > 0;
  const at = cursor.value;
  const hover = at != null && data[0][at];
  const utc = zone.value === 'utc';
  const number = v => (known ? ms(v) : '–');

  return html`
    <section class="panel panel-latency" aria-labelledby="latency-title" data-testid="latency">
      <header>
        <h2 id="latency-title">Latency <${Unit} text="commit → page" time=${hover} /></h2>
        ${hover && html`<span class="unit">${SERIES.map(([, name], s) => `${name} ${ms(data[s + 1][at])}`).join(', ')}</span>`}
        <button type="button" class="plain" aria-pressed=${table} data-testid="latency-table-toggle" onClick=${() => setTable(!table)}>Table</button>
      </header>
      <dl class="tiles">
        <${Tile} name="p50" tone="series-4" title="Half of the last ten seconds' transactions took at most this" value=${number(q?.p50)} />
        <${Tile} name="p95" title="19 of 20 took at most this" value=${number(q?.p95)} />
        <${Tile} name="p99" tone="series-5" title="99 of 100 took at most this" value=${number(q?.p99)} />
        <${Tile} name="max" title="The slowest of the last ten seconds" value=${number(q?.max)} />
      </dl>
      <${Stages} />
      ${table
        ? html`<${Table} caption="Latency by second, the newest first" testid="latency-table" head=${['Time', 'p50', 'p99']}
            rows=${data[0].slice(-60).map((t, i, {length}) => [clock(t * 1000, utc, false), ...SERIES.map((_, s) => ms(data[s + 1][data[0].length - length + i]))]).reverse()} />`
        : html`<${HeatChart} data=${data} heat=${cut(HEAT)} from=${to - range.value} to=${to} cursor=${cursor}
            summary=${known ? `Latency from commit to this page over the last ${latency.value.seconds} seconds: half within ${ms(q.p50)}, 99 of 100 within ${ms(q.p99)}, at most ${ms(q.max)}, ${plural(q.count, 'transaction')}.` : 'No transaction in the last seconds.'} />`}
    </section>`;
}

// The map's counts belong to the chart, not to uPlot's data: they are handed over through the plot itself.
let heatNow = [];
const buildHeat = () => {
  const own = build();
  own.hooks.drawClear.unshift(u => (u.heat = heatNow));
  return own;
};

function HeatChart({heat, ...rest}) {
  heatNow = heat;
  return html`<${Chart} ...${rest} build=${buildHeat} build_key=${shownTheme.value} testid="latency-chart" />`;
}

// What else is known of where the time goes.
function Stages() {
  const view = latency.value?.view;
  const skew = latency.value?.skew_ms;
  const lag = role => {
    const s = flow.value?.stages[role];
    return s?.rates.events > 0 && s.numbers.lag_seconds != null ? ms(s.numbers.lag_seconds * 1000) : null;
  };
  const parts = [['in Kafka', lag('cdc')], ['in the view', lag('process')], ['view on page', view?.count > 0 ? ms(view.p50) : null]].filter(([, value]) => value);
  return html`
    ${parts.length > 0 && html`<p class="stages" data-testid="latency-stages">${parts.map(([name, value]) => html`<span key=${name}>${name} <b>${value}</b></span>`)}</p>`}
    ${skew > 1 && html`<p class="caution" data-testid="skew">The source's clock is ahead of this machine's by at least ${age(skew) === '0 s' ? ms(skew) : age(skew)}: these latencies are too low.</p>`}`;
}
