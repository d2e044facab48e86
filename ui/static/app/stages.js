// The way of the data as the page draws it: nodes and edges, made of the last flow. Pure.
import {bytes, count, lsn, ms, plural, rate, short} from './format.js';

// A stage whose source says nothing is unknown, not healthy.
const after = cdc => ({healthy: 'healthy', warning: 'warning'})[cdc.state] || (cdc.state === 'error' ? 'warning' : 'missing');

const linkState = link => ({reading: 'healthy', failed: 'error'})[link.state] || 'initializing';

/** The nodes in the order of the data's way: {id, title, icon, state, lines, detail, role}. */
export function nodesOf(flow, latency, page) {
  const {burst, cdc, process} = flow.stages;
  const behind = lsn(cdc.texts.current_lsn) != null && lsn(cdc.texts.confirmed_lsn) != null ? Number(lsn(cdc.texts.current_lsn) - lsn(cdc.texts.confirmed_lsn)) : null;
  const lag = s => (s.rates.events > 0 && s.numbers.lag_seconds != null ? `${ms(s.numbers.lag_seconds * 1000)} behind` : null);
  return [
    {id: 'burst', title: 'Burst writer', icon: 'burst', state: burst.state, detail: burst.detail, role: 'burst', lines: burst.state === 'missing'
      ? ['your application', 'or livedb burst']
      : [burst.numbers.target_rows_per_second != null && `${count(burst.numbers.target_rows_per_second)} rows/s wanted`, `${short(burst.numbers.rows_total)} rows written`]},
    {id: 'postgres', title: 'Postgres', icon: 'postgres', state: after(cdc), detail: '', role: 'cdc', lines: [
      cdc.texts.current_lsn ? `WAL ${cdc.texts.current_lsn}` : cdc.texts.slot && `slot ${cdc.texts.slot}`,
      cdc.numbers.retained_wal_bytes != null ? `${bytes(cdc.numbers.retained_wal_bytes)} kept for the slot` : behind != null && `${bytes(behind)} unconfirmed`]},
    {id: 'cdc', title: 'Capture', icon: 'cdc', state: cdc.state, detail: cdc.detail, role: 'cdc', lines: [
      cdc.numbers.seq != null && `seq ${count(cdc.numbers.seq)}`, lag(cdc) || cdc.texts.position]},
    {id: 'kafka', title: 'Kafka', icon: 'kafka', state: linkState(flow.events), detail: flow.events.detail, lines: [
      flow.tables.length ? plural(flow.tables.length, 'event topic') : 'no event topic yet',
      cdc.rates.commits != null && `${rate(cdc.rates.commits)} transactions/s`]},
    {id: 'process', title: 'Processor', icon: 'process', state: process.state, detail: process.detail, role: 'process', lines: [
      process.numbers.groups != null && plural(process.numbers.groups, 'group'), lag(process) || process.texts.position]},
    {id: 'page', title: 'This page', icon: 'page', state: page, detail: '', role: 'ui', lines: [
      flow.read.seq ? `seq ${count(flow.read.seq)}` : 'no event yet', latency?.events.count > 0 ? `p99 ${ms(latency.events.p99)}` : 'idle']},
  ].map(n => ({...n, lines: n.lines.filter(Boolean)}));
}

/** The edges: {id, from, to, main, unit, more, rate, state}. main and unit are what stands at the edge. */
export function edgesOf(flow) {
  const {burst, cdc, process} = flow.stages;
  const edge = (id, from, to, value, unit, more, state) => ({id, from, to, main: rate(value), unit, more, rate: value || 0, state});
  return [
    edge('write', 'burst', 'postgres', burst.rates.rows, 'rows/s', burst.rates.transactions != null && `${rate(burst.rates.transactions)} transactions/s`, burst.state),
    edge('wal', 'postgres', 'cdc', cdc.rates.transactions, 'tx/s', 'transactions decoded from the WAL', cdc.state),
    edge('produce', 'cdc', 'kafka', cdc.rates.events, 'events/s', cdc.rates.bytes != null && `${bytes(cdc.rates.bytes)}/s`, cdc.state),
    edge('consume', 'kafka', 'process', process.rates.events, 'events/s', 'read in commit order', process.state),
    edge('results', 'process', 'page', flow.view.updates, 'updates/s', 'changed groups of the view', process.state),
    edge('tail', 'kafka', 'page', flow.read.events, 'events/s', `${bytes(flow.read.bytes)}/s`, linkState(flow.events)),
  ];
}

/** One sentence on which stage holds the others up; empty if none does. */
export function bottleneck(flow, latency) {
  const {burst, cdc, process} = flow.stages;
  const lag = s => (s.rates.events > 0 ? s.numbers.lag_seconds || 0 : 0);
  if (lag(cdc) > 2) return `Capture is the bottleneck: Kafka has what was committed ${ms(lag(cdc) * 1000)} ago.`;
  if (lag(process) - lag(cdc) > 2) return `The processor is the bottleneck: views are ${ms(lag(process) * 1000)} behind.`;
  if (latency?.events.count > 0 && latency.events.p50 > 2000) return `This dashboard reads ${ms(latency.events.p50)} behind.`;
  if (burst.rates.offered_rows > 20 && burst.rates.rows < burst.rates.offered_rows * .8) {
    return `The source is the bottleneck: ${rate(burst.rates.rows)} of ${rate(burst.rates.offered_rows)} rows/s wanted are written.`;
  }
  return '';
}
