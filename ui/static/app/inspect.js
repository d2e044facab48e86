// What is known of one node: state, last error, every number and text its role reports, and for Kafka its topics.
import {useEffect, useRef} from 'preact/hooks';
import {html} from './html.js';
import {Icon, State, stateName} from './icons.js';
import {age, bytes, clock, count, ms, rate, sentence} from './format.js';
import {flow, latency, openNode, setFilter, zone} from './store.js';
import {nodesOf} from './stages.js';

const NAMES = {
  rows_total: 'rows written',
  offered_rows_total: 'rows wanted',
  transactions_total: 'transactions',
  events_total: 'events',
  bytes_total: 'bytes',
  commits_total: 'Kafka transactions',
  late_total: 'late changes',
  lag_seconds: 'last commit handled',
  target_rows_per_second: 'rows a second wanted',
  retained_wal_bytes: 'WAL kept for the slot',
  clients: 'pages that watch',
  dropped_events_total: 'events not sent to slow pages',
  current_lsn: 'WAL written to',
  confirmed_lsn: 'confirmed to',
  restart_lsn: 'WAL kept from',
  postgres: 'server version',
};

const nameOf = name => NAMES[name] || name.replace(/_/g, ' ');

function numberOf(name, value, rates) {
  if (name.endsWith('_total')) {
    const write = name.startsWith('bytes') ? [bytes, bytes] : [count, rate];
    const now = rates[name.slice(0, -'_total'.length)];
    return write[0](value) + (now == null ? '' : `  (${write[1](now)}/s)`);
  }
  if (name.endsWith('_bytes')) return bytes(value);
  if (name === 'lag_seconds') return `${value < 2 ? ms(value * 1000) : age(value * 1000)} ago`;
  return count(value);
}

const close = () => (openNode.value = '');

export function Inspector() {
  const box = useRef(null);
  const id = openNode.value;
  useEffect(() => {
    if (id && matchMedia('(max-width: 880px)').matches) box.current?.scrollIntoView({block: 'nearest'});
  }, [id]);
  if (!id || !flow.value) return html`<div id="inspector" hidden></div>`;
  const node = nodesOf(flow.value, latency.value, 'healthy').find(n => n.id === id);
  const stage = flow.value.stages[node.role];
  return html`
    <div id="inspector" class="inspector" ref=${box} role="region" aria-label=${node.title} data-testid="inspector">
      <header>
        <h3><${Icon} name=${node.icon} />${node.title}</h3>
        <p class="inspector-state">
          <${State} state=${node.state} label=${false} />${stateName(node.state)}
          ${stage?.since && html`<span class="muted">since ${clock(Date.parse(stage.since), zone.value === 'utc', false)}</span>`}
        </p>
        <button type="button" class="plain icon-button" aria-label=${'Close ' + node.title} data-testid="inspector-close"
          onClick=${close}>
          <${Icon} name="close" />
        </button>
      </header>
      ${node.detail && html`<p class="inspector-detail" data-testid="inspector-detail">${sentence(node.detail)}</p>`}
      ${id === 'kafka' ? html`<${Topics} />` : html`<${Facts} stage=${stage} role=${node.role} />`}
    </div>`;
}

function Facts({stage, role}) {
  if (!stage || stage.state === 'missing') return html`<${NeverSeen} role=${role} />`;
  const facts = [
    ...Object.entries(stage.texts).map(([name, value]) => [nameOf(name), value]),
    ...Object.entries(stage.numbers).map(([name, value]) => [nameOf(name), numberOf(name, value, stage.rates)]),
    ['instance', stage.instance],
    ['version', stage.version],
    ['instances that report', count(stage.instances)],
    ['last report', `${age(stage.age_ms)} ago`],
  ].filter(([, value]) => value);
  return html`
    <dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

const NeverSeen = ({role}) => html`
  <p class="muted">
    No instance of this role has reported.${' '}
    ${role === 'burst' ? 'That is fine if your own application writes.' : html`Start it with <code>livedb ${role}</code>.`}
  </p>`;

const TOPIC_HEADS = ['Topic', 'Events/s', 'Events since this dashboard began'];

function Topics() {
  const tables = flow.value.tables;
  if (tables.length === 0) return html`<p class="muted">No event has been read yet.</p>`;
  const show = table => {
    setFilter({table});
    close();
    document.getElementById('tail')?.scrollIntoView({block: 'nearest'});
  };
  return html`
    <div class="table-box" tabindex="0" role="region" aria-label="Topics">
      <table class="numbers">
        <thead>
          <tr>${TOPIC_HEADS.map(head => html`<th scope="col" key=${head}>${head}</th>`)}<td></td></tr>
        </thead>
        <tbody>
          ${tables.map(t => html`
            <tr key=${t.topic}>
              <th scope="row">${t.topic}</th><td>${rate(t.rate)}</td><td>${count(t.events)}</td>
              <td>
                <button type="button" class="plain" data-testid=${'topic-' + t.table} onClick=${() => show(t.table)}>
                  Show in tail
                </button>
              </td>
            </tr>`)}
        </tbody>
      </table>
    </div>`;
}
