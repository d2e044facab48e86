// The view "orders": orders and revenue for each second in which they were made, by status. Groups change after their
// second has passed, for an order that is paid moves from "new" to "paid" in the second it was made.
import {html} from './html.js';
import {axes, Chart, Choice, color, faint, Legend, roundUp, Table, Unit, useCursor, WHOLE} from './chart.js';
import {clock, count, rate, short} from './format.js';
import {flow, form, measure, range, second, view, viewLoaded, viewPosition, viewVersion, zone} from './store.js';
import {Empty} from './empty.js';

const ORDER = ['new', 'paid', 'shipped', 'delivered', 'cancelled'];
const FORMS = [['stacked', 'Stacked'], ['lines', 'Lines'], ['table', 'Table']];
const MEASURES = [['orders', 'Orders'], ['revenue', 'Revenue']];
const TABLE_ROWS = 60;
const FRESH = 900; // milliseconds for which a changed group is marked

// The statuses seen, in an order that does not move when a new one comes.
function statusesOf() {
  const seen = new Set();
  for (const groups of view.seconds.values()) for (const status of groups.keys()) seen.add(status);
  return [...ORDER.filter(s => seen.has(s)), ...[...seen].filter(s => !ORDER.includes(s)).sort()];
}

const tone = status => `status-${ORDER.includes(status) ? ORDER.indexOf(status) + 1 : ORDER.length + 1}`;

// The chart's columns. Before the oldest second that is held nothing is known, which is not zero.
function columnsOf(statuses, from, to, which) {
  const xs = [];
  const columns = statuses.map(() => []);
  const oldest = Math.min(...view.seconds.keys());
  for (let t = from; t <= to; t++) {
    xs.push(t);
    const groups = view.seconds.get(t);
    statuses.forEach((status, i) => columns[i].push(groups?.get(status)?.[which] ?? (t < oldest ? null : 0)));
  }
  return [xs, ...columns];
}

// Stacks the columns: each becomes the sum of itself and those below.
function stack([xs, ...columns]) {
  const sums = [];
  columns.forEach((column, i) => {
    sums.push(column.map((v, j) => (v == null || i === 0 ? v : v + sums[i - 1][j])));
  });
  return [xs, ...sums];
}

const build = (statuses, stacked) => () => ({
  series: [{}, ...statuses.map((status, i) => ({
    stroke: color(tone(status)),
    width: stacked ? 1 : 1.5,
    fill: stacked && i === 0 ? faint(tone(status), .55) : undefined,
    points: {show: false},
  }))],
  bands: stacked ? statuses.slice(1).map((status, i) => ({series: [i + 2, i + 1], fill: faint(tone(status), .55)})) : [],
  scales: {x: {time: true}, y: {range: (u, min, max) => [0, roundUp(max)]}},
  axes: axes((u, splits) => splits.map(short), WHOLE),
});

export function View() {
  viewVersion.value;
  const cursor = useCursor();
  const which = measure.value;
  const statuses = statusesOf();
  // The second that is still filling is left out: it would always look like a fall.
  const to = Math.min(second.value - 1, Math.max(view.newest, second.value - 3));
  const columns = columnsOf(statuses, to - range.value, to, which);
  const hovered = cursor.value != null && columns[0][cursor.value];
  const row = hovered ? cursor.value : columns[0].length - 1;
  const write = which === 'revenue' ? count : rate;

  return html`
    <section class="panel panel-view" aria-labelledby="view-title" data-testid="view" data-position=${viewPosition.value}>
      <header>
        <h2 id="view-title">Orders <${Unit} text="" time=${hovered} /></h2>
        <${Choice} label="What to show of the orders" value=${which} options=${MEASURES} onChange=${v => (measure.value = v)}
          testid="measure" />
        <${Choice} label="How to show it" value=${form.value} options=${FORMS} onChange=${v => (form.value = v)} testid="form" />
      </header>
      ${statuses.length > 0 && html`
        <${Legend} items=${statuses.map((name, i) => ({name, tone: tone(name), value: write(columns[i + 1][row])}))} />`}
      ${statuses.length === 0
        ? html`<${Nothing} />`
        : form.value === 'table'
          ? html`<${Rows} statuses=${statuses} which=${which} />`
          : html`<${Picture} statuses=${statuses} which=${which} columns=${columns} to=${to} cursor=${cursor} />`}
    </section>`;
}

function Picture({statuses, which, columns, to, cursor}) {
  const stacked = form.value === 'stacked';
  const total = columns.slice(1).flat().reduce((sum, v) => sum + (v || 0), 0);
  const summary = `${which === 'revenue' ? 'Revenue' : 'Orders'} of each second by status: ${statuses.join(', ')}; `
    + `${count(total)} in the time shown.`;
  return html`
    <${Chart} build=${build(statuses, stacked)} build_key=${`${statuses} ${stacked}`} data=${stacked ? stack(columns) : columns}
      from=${to - range.value} to=${to} cursor=${cursor} summary=${summary} testid="view-chart" />`;
}

function Rows({statuses, which}) {
  const rows = [];
  for (const t of [...view.seconds.keys()].sort((a, b) => b - a).slice(0, TABLE_ROWS)) {
    const groups = view.seconds.get(t);
    const cells = statuses.map(status => html`<${Cell} group=${groups.get(status)} which=${which} />`);
    rows.push([clock(t * 1000, zone.value === 'utc', false), ...cells]);
  }
  return html`
    <${Table} caption="Groups of the view, the newest second first" testid="view-table" head=${['Second', ...statuses]}
      rows=${rows} />`;
}

function Cell({group, which}) {
  if (!group) return '–';
  const fresh = performance.now() - group.changed < FRESH;
  return html`<span class=${fresh ? 'fresh' : ''}>${which === 'revenue' ? group.revenue.toFixed(2) : count(group.orders)}</span>`;
}

// What the panel says while the view has no group.
function Nothing() {
  if (flow.value?.stages.process.state === 'missing') {
    return html`
      <${Empty} title="No processor has reported" testid="view-empty">
        Views are computed by the role process. Start it with <code>livedb process</code>.
      <//>`;
  }
  if (!viewLoaded.value) return html`<${Empty} busy title="Reading the view" testid="view-empty" />`;
  return html`
    <${Empty} title="No groups yet" testid="view-empty">
      The view fills with the first order. Run <code>livedb burst</code>, or insert one.
    <//>`;
}
