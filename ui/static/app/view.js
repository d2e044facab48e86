// The view "orders": orders and revenue for each second in which they were made, by status. Groups change after their
// second has passed, for an order that is paid moves from "new" to "paid" in the second it was made.
import {html} from './html.js';
import {axes, Chart, Choice, color, faint, Legend, roundUp, Table, Unit, useCursor, WHOLE} from './chart.js';
import {clock, count, rate, short} from './format.js';
import {flow, form, measure, range, second, view, viewLoaded, viewPosition, viewVersion, zone} from './store.js';
import {Empty} from './empty.js';

const ORDER = ['new', 'paid', 'shipped', 'delivered', 'cancelled'];
const TONES = ['status-1', 'status-2', 'status-3', 'status-4', 'status-5', 'status-6'];

// The statuses seen, in an order that does not move when a new one comes.
function statusesOf() {
  const seen = new Set();
  for (const groups of view.seconds.values()) for (const status of groups.keys()) seen.add(status);
  const others = [...seen].filter(s => !ORDER.includes(s)).sort();
  return [...ORDER.filter(s => seen.has(s)), ...others];
}

const tone = status => TONES[ORDER.includes(status) ? ORDER.indexOf(status) : 5];

// Columns of the chart: the second that is still filling is left out, for it would always look like a fall.
function columnsOf(statuses, from, to, which) {
  const xs = [];
  const columns = statuses.map(() => []);
  const oldest = Math.min(...view.seconds.keys());
  for (let t = from; t <= to; t++) {
    xs.push(t);
    const groups = view.seconds.get(t);
    const none = t < oldest ? null : 0;
    statuses.forEach((status, i) => columns[i].push(groups?.get(status)?.[which] ?? none));
  }
  return [xs, ...columns];
}

// Stacks the columns: each is the sum of itself and those below, drawn from the top down.
function stack([xs, ...columns]) {
  const sums = [];
  columns.forEach((column, i) => sums.push(i === 0 ? column : column.map((v, j) => (v == null ? null : v + sums[i - 1][j]))));
  return [xs, ...sums];
}

const build = (statuses, stacked) => () => ({
  series: [{}, ...statuses.map((status, i) => ({stroke: color(tone(status)), width: stacked ? 1 : 1.5, points: {show: false},
    fill: stacked && i === 0 ? faint(tone(status), .55) : undefined}))],
  bands: stacked ? statuses.slice(1).map((status, i) => ({series: [i + 2, i + 1], fill: faint(tone(status), .55)})) : [],
  scales: {x: {time: true}, y: {range: (u, min, max) => [0, roundUp(max)]}},
  axes: axes((u, splits) => splits.map(short), WHOLE),
});

const FORMS = [['stacked', 'Stacked'], ['lines', 'Lines'], ['table', 'Table']];
const MEASURES = [['orders', 'Orders'], ['revenue', 'Revenue']];

export function View() {
  viewVersion.value;
  const cursor = useCursor();
  const statuses = statusesOf();
  const which = measure.value;
  const stacked = form.value === 'stacked';
  const to = Math.min(second.value - 1, Math.max(view.newest, second.value - 3));
  const from = to - range.value;
  const raw = columnsOf(statuses, from, to, which);
  const data = stacked ? stack(raw) : raw;
  const at = cursor.value;
  const row = at != null && at < raw[0].length ? at : raw[0].length - 1;
  const utc = zone.value === 'utc';
  const format = v => (which === 'revenue' ? count(v) : rate(v));
  const total = statuses.reduce((sum, _, i) => sum + raw[i + 1].reduce((a, b) => a + b, 0), 0);

  return html`
    <section class="panel panel-view" aria-labelledby="view-title" data-testid="view" data-position=${viewPosition.value}>
      <header>
        <h2 id="view-title">Orders <${Unit} text="" time=${at != null && raw[0][at]} /></h2>
        <${Choice} label="What to show of the orders" value=${which} options=${MEASURES} onChange=${v => (measure.value = v)} testid="measure" />
        <${Choice} label="How to show it" value=${form.value} options=${FORMS} onChange=${v => (form.value = v)} testid="form" />
      </header>
      ${statuses.length === 0
        ? html`<${Nothing} />`
        : html`
          <${Legend} items=${statuses.map((name, i) => ({name, tone: tone(name), value: format(raw[i + 1][row])}))} />
          ${form.value === 'table'
            ? html`<${Rows} statuses=${statuses} which=${which} to=${second.value} utc=${utc} />`
            : html`<${Chart} build=${build(statuses, stacked)} build_key=${`${statuses} ${stacked} ${which}`} data=${data} from=${from} to=${to} cursor=${cursor} testid="view-chart"
                summary=${`${which === 'revenue' ? 'Revenue' : 'Orders'} of each second by status: ${statuses.join(', ')}; ${count(total)} in the time shown.`} />`}`}
    </section>`;
}

function Rows({statuses, which, to, utc}) {
  const rows = [];
  for (let t = to; t > to - 900 && rows.length < 60; t--) {
    const groups = view.seconds.get(t);
    if (groups) rows.push([clock(t * 1000, utc, false), ...statuses.map(s => html`<${Cell} group=${groups.get(s)} which=${which} />`)]);
  }
  return html`<${Table} caption="Groups of the view, the newest second first" testid="view-table" head=${['Second', ...statuses]} rows=${rows} />`;
}

// A group that has just changed is marked for a moment.
const Cell = ({group, which}) => {
  const fresh = group && performance.now() - group.changed < 900;
  return html`<span class=${fresh ? 'fresh' : ''}>${group ? (which === 'revenue' ? group.revenue.toFixed(2) : count(group.orders)) : '–'}</span>`;
};

function Nothing() {
  const process = flow.value?.stages.process;
  if (!viewLoaded.value || !flow.value) return html`<${Empty} busy title="Reading the view" testid="view-empty" />`;
  if (process?.state === 'missing') {
    return html`<${Empty} title="No processor has reported" testid="view-empty">Views are computed by the role process. Start it with <code>livedb process</code>.<//>`;
  }
  return html`<${Empty} title="No groups yet" testid="view-empty">The view fills with the first order. Run <code>livedb burst</code>, or insert one.<//>`;
}
