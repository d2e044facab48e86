// What is known of one node: state, last error, every number and text its role reports, and for Kafka its topics.
import {useEffect, useRef} from 'preact/hooks';
import {html} from './html.js';
import {Icon, State, stateName} from './icons.js';
import {age, bytes, count, instant, ms, rate} from './format.js';
import {flow, latency, openNode, setFilter, zone} from './store.js';
import {nodesOf} from './stages.js';

const NAMES = {
  rows_total: 'rows written', offered_rows_total: 'rows wanted', transactions_total: 'transactions', events_total: 'events',
  bytes_total: 'bytes', commits_total: 'Kafka transactions', late_total: 'late changes', seq: 'seq', lag_seconds: 'last commit handled',
  target_rows_per_second: 'rows a second wanted', retained_wal_bytes: 'WAL kept for the slot', groups: 'groups', clients: 'pages that watch',
  dropped_events_total: 'events not sent to slow pages', current_lsn: 'WAL written to', confirmed_lsn: 'confirmed to',
  restart_lsn: 'WAL kept from', position: 'position', slot: 'slot', publication: 'publication', tables: 'tables', source: 'source', postgres: 'server version',
};
const nameOf = name => NAMES[name] || name.replace(/_/g, ' ');

function numberOf(name, value, rates) {
  if (name.endsWith('_total')) {
    const r = rates[name.slice(0, -6)];
    const all = name.startsWith('bytes') ? bytes(value) : count(value);
    return r == null ? all : `${all}  (${name.startsWith('bytes') ? bytes(r) : rate(r)}/s)`;
  }
  if (name.endsWith('_bytes')) return bytes(value);
  if (name === 'lag_seconds') return `${value < 2 ? ms(value * 1000) : age(value * 1000)} ago`;
  return count(value);
}

export function Inspector() {
  const box = useRef(null);
  const id = openNode.value;
  useEffect(() => {
    if (id && matchMedia('(max-width: 880px)').matches) box.current?.scrollIntoView({block: 'nearest'});
  }, [id]);
  if (!id || !flow.value) return html`<div id="inspector" hidden></div>`;
  const node = nodesOf(flow.value, latency.value, 'healthy').find(n => n.id === id);
  const stage = flow.value.stages[node.role];
  const utc = zone.value === 'utc';
  return html`
    <div id="inspector" class="inspector" ref=${box} role="region" aria-label=${node.title} data-testid="inspector">
      <header>
        <h3><${Icon} name=${node.icon} />${node.title}</h3>
        <p class="inspector-state"><${State} state=${node.state} label=${false} />${stateName(node.state)}${id !== 'kafka' && stage?.since && html` <span class="muted">since ${instant(Date.parse(stage.since) * 1000, utc).slice(11, 19)}</span>`}</p>
        <button type="button" class="plain icon-button" aria-label=${'Close ' + node.title} data-testid="inspector-close" onClick=${() => (openNode.value = '')}><${Icon} name="close" /></button>
      </header>
      ${node.detail && html`<p class="inspector-detail" data-testid="inspector-detail">${node.detail}</p>`}
      ${id === 'kafka' ? html`<${Topics} />` : html`<${Facts} stage=${stage} role=${node.role} />`}
    </div>`;
}

function Facts({stage, role}) {
  if (!stage || stage.state === 'missing') {
    return html`<p class="muted">No instance of this role has reported to <code>.status</code>. ${role === 'burst' ? 'That is fine if your own application writes.' : html`Start it with <code>livedb ${role}</code>.`}</p>`;
  }
  const facts = [
    ...Object.entries(stage.texts).map(([name, value]) => [nameOf(name), value]),
    ...Object.entries(stage.numbers).map(([name, value]) => [nameOf(name), numberOf(name, value, stage.rates)]),
    ['instance', stage.instance], ['version', stage.version], ['instances that report', count(stage.instances)], ['last report', age(stage.age_ms) + ' ago'],
  ].filter(([, value]) => value);
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Topics() {
  const tables = flow.value.tables;
  if (tables.length === 0) return html`<p class="muted">No event has been read yet.</p>`;
  const show = table => {
    setFilter({table});
    openNode.value = '';
    document.getElementById('tail')?.scrollIntoView({block: 'nearest'});
  };
  return html`
    <div class="table-box" tabindex="0" role="region" aria-label="Topics">
      <table class="numbers">
        <thead><tr><th scope="col">Topic</th><th scope="col">Events/s</th><th scope="col">Events since this dashboard began</th><th scope="col"><span class="hidden">Filter</span></th></tr></thead>
        <tbody>${tables.map(t => html`
          <tr key=${t.topic}><th scope="row">${t.topic}</th><td>${rate(t.rate)}</td><td>${count(t.events)}</td>
            <td><button type="button" class="plain" data-testid=${'topic-' + t.table} onClick=${() => show(t.table)}>Show in tail</button></td></tr>`)}</tbody>
      </table>
    </div>`;
}
