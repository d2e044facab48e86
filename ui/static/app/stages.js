// The way of the data as the page draws it: nodes and edges, made of the last flow. Pure.
import {bytes, count, lsn, ms, plural, rate, short} from './format.js';

// A source whose reader says nothing is unknown, not healthy.
const sourceState = cdc => ({healthy: 'healthy', warning: 'warning', error: 'warning'})[cdc.state] || 'missing';

const linkState = link => ({reading: 'healthy', failed: 'error'})[link.state] || 'initializing';

// Seconds since the last commit that a role has handled, while there are any: an idle role is not late.
const lag = stage => (stage.rates.events > 0 ? stage.numbers.lag_seconds || 0 : 0);

const behind = stage => (lag(stage) > 0 ? `${ms(lag(stage) * 1000)} behind` : stage.texts.position);

const known = (value, write) => (value == null ? null : write(value));

/**
 * The nodes in the order of the data's way: {id, title, icon, role, state, detail, lines}. page is this page's own state.
 */
export function nodesOf(flow, latency, page) {
  const {burst, cdc} = flow.stages;
  const process = flow.stages.process;
  const nodes = [
    {id: 'burst', title: 'Burst writer', role: 'burst', state: burst.state, detail: burst.detail, lines: burstLines(burst)},
    {id: 'postgres', title: 'Postgres', role: 'cdc', state: sourceState(cdc), lines: sourceLines(cdc)},
    {id: 'cdc', title: 'Capture', role: 'cdc', state: cdc.state, detail: cdc.detail, lines: [
      known(cdc.numbers.seq, n => `seq ${count(n)}`),
      behind(cdc),
    ]},
    {id: 'kafka', title: 'Kafka', state: linkState(flow.events), detail: flow.events.detail, lines: [
      flow.tables.length > 0 ? plural(flow.tables.length, 'event topic') : 'no event topic yet',
      known(cdc.rates.commits, n => `${rate(n)} transactions/s`),
    ]},
    {id: 'process', title: 'Processor', role: 'process', state: process.state, detail: process.detail, lines: [
      known(process.numbers.groups, n => plural(n, 'group')),
      behind(process),
    ]},
    {id: 'page', title: 'This page', role: 'ui', state: page, lines: [
      flow.read.seq ? `seq ${count(flow.read.seq)}` : 'no event yet',
      latency?.events.count > 0 ? `p99 ${ms(latency.events.p99)}` : 'idle',
    ]},
  ];
  return nodes.map(node => ({detail: '', ...node, icon: node.id, lines: node.lines.filter(Boolean)}));
}

function burstLines(burst) {
  if (burst.state === 'missing') return ['your application', 'or livedb burst'];
  return [
    known(burst.numbers.target_rows_per_second, n => (n > 0 ? `${count(n)} rows/s wanted` : 'as fast as it can')),
    known(burst.numbers.rows_total, n => `${short(n)} rows written`),
  ];
}

function sourceLines(cdc) {
  const [current, confirmed] = [lsn(cdc.texts.current_lsn), lsn(cdc.texts.confirmed_lsn)];
  const kept = known(cdc.numbers.retained_wal_bytes, n => `${bytes(n)} kept for the slot`);
  const open = current != null && confirmed != null ? `${bytes(Number(current - confirmed))} unconfirmed` : null;
  return [cdc.texts.current_lsn ? `WAL ${cdc.texts.current_lsn}` : cdc.texts.slot && `slot ${cdc.texts.slot}`, kept || open];
}

/**
 * The edges: {id, from, to, value, unit, more, note, state}. value is a rate, unit its unit; more stands beside them where
 * there is room, note says what is counted.
 */
export function edgesOf(flow) {
  const {burst, cdc} = flow.stages;
  const process = flow.stages.process;
  return [
    {id: 'write', from: 'burst', to: 'postgres', value: burst.rates.rows, unit: 'rows/s', state: burst.state,
      note: 'rows written and committed'},
    {id: 'wal', from: 'postgres', to: 'cdc', value: cdc.rates.transactions, unit: 'tx/s', state: cdc.state,
      note: 'transactions decoded from the write-ahead log'},
    {id: 'produce', from: 'cdc', to: 'kafka', value: cdc.rates.events, unit: 'events/s', state: cdc.state,
      more: known(cdc.rates.bytes, n => `${bytes(n)}/s`), note: 'events committed to Kafka'},
    {id: 'consume', from: 'kafka', to: 'process', value: process.rates.events, unit: 'events/s', state: process.state,
      note: 'events read in commit order'},
    {id: 'results', from: 'process', to: 'page', value: flow.view.updates, unit: 'updates/s', state: process.state,
      note: 'changed groups of the view'},
    {id: 'tail', from: 'kafka', to: 'page', value: flow.read.events, unit: 'events/s', state: linkState(flow.events),
      more: `${bytes(flow.read.bytes)}/s`, note: 'events read by this dashboard in commit order'},
  ];
}

/** One sentence on which stage holds the others up; empty if none does. */
export function bottleneck(flow, latency) {
  const {burst, cdc} = flow.stages;
  const process = flow.stages.process;
  if (lag(cdc) > 2) return `Capture is the bottleneck: Kafka has what was committed ${ms(lag(cdc) * 1000)} ago.`;
  if (lag(process) - lag(cdc) > 2) return `The processor is the bottleneck: views are ${ms(lag(process) * 1000)} behind.`;
  if (latency?.events.count > 0 && latency.events.p50 > 2000) return `This dashboard reads ${ms(latency.events.p50)} behind.`;
  const {rows, offered_rows: wanted} = burst.rates;
  if (wanted > 20 && rows < wanted * .8) {
    return `The source is the bottleneck: ${rate(rows)} of ${rate(wanted)} rows/s wanted are written.`;
  }
  return '';
}
