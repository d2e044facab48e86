// One event in full: where it stands, and the row before and after, the changed columns first.
import {useState} from 'preact/hooks';
import {html} from './html.js';
import {Choice} from './chart.js';
import {bytes, count, instant} from './format.js';
import {opName} from './filter.js';
import {Icon} from './icons.js';
import {diff, keyText, middle, show, states, toJSON} from './row.js';
import {lostEvent, say, selected, setFilter, zone} from './store.js';

/** Puts a text on the clipboard and says so. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${what}.`);
  } catch {
    say(`This browser does not let the page copy. Select the text under Raw instead.`);
  }
}

export const copyEvent = row => copy(toJSON(row), `the event ${row.pos} as JSON`);

export function Detail() {
  const [form, setForm] = useState('diff');
  const row = selected.value;
  if (!row) return lostEvent.value ? html`<${Lost} event=${lostEvent.value} />` : null;
  const link = () => copy(`${location.origin}/?event=${row.epoch}@${row.pos}`, 'a link to this event');
  return html`
    <div class="detail" role="region" aria-label=${`Event ${row.pos}`} data-testid="detail" data-seq=${row.seq}>
      <header>
        <h3><span class=${`op op-${row.op}`} aria-hidden="true">${row.op}</span><span>${opName(row.op)}</span> <span class="detail-table">${row.table}</span> <span class="detail-key">${keyText(row)}</span></h3>
        <${Choice} label="How to show the event" value=${form} options=${[['diff', 'Diff'], ['raw', 'Raw']]} onChange=${setForm} testid="detail-form" />
        <button type="button" class="plain" data-testid="copy" title="Copy as JSON (C)" onClick=${() => copyEvent(row)}><${Icon} name="copy" />JSON</button>
        <button type="button" class="plain" data-testid="copy-link" onClick=${link}><${Icon} name="link" />Link</button>
        <button type="button" class="plain" data-testid="only-transaction" onClick=${() => setFilter({table: '', op: '', q: `xid:${row.xid}`})}>Its transaction</button>
        <button type="button" class="plain icon-button" aria-label="Close the event" data-testid="detail-close" onClick=${() => (selected.value = null)}><${Icon} name="close" /></button>
      </header>
      <div class="detail-body" tabindex="0" role="region" aria-label="The event's values">
        <dl class="meta">
          <div><dt>Position</dt><dd>${row.pos}</dd></div>
          <div><dt>Seq</dt><dd>${count(row.seq)} <span class="muted">of epoch ${row.epoch}</span></dd></div>
          <div><dt>Transaction</dt><dd>${row.xid}</dd></div>
          <div><dt>Committed</dt><dd>${instant(row.ts_us, zone.value === 'utc')}</dd></div>
          <div><dt>In Kafka</dt><dd>${row.topic} <span class="muted">/ ${row.partition} @ ${count(row.offset)}</span></dd></div>
        </dl>
        ${row.cut && html`<p class="caution" data-testid="cut">Long values are shortened here. The record in Kafka is whole.</p>`}
        ${form === 'raw' ? html`<pre class="raw" data-testid="raw">${toJSON(row)}</pre>` : html`<${Columns} row=${row} />`}
      </div>
    </div>`;
}

const CHANGES = {changed: 'changed', added: '', removed: '', same: '', unchanged: 'not logged'};

function Columns({row}) {
  const {before, after} = states(row);
  if (!before && !after) return html`<p class="muted">This event carries no row.</p>`;
  const columns = diff(row);
  const both = before && after;
  const more = (after || before).$more;
  return html`
    ${row.op === 'u' && !before && html`<p class="muted">The earlier row was not logged. For before and after: <code>ALTER TABLE ${row.table} REPLICA IDENTITY FULL</code></p>`}
    <table class="diff" data-testid="diff">
      <thead><tr><th scope="col">Column</th>${both ? html`<th scope="col">Before</th><th scope="col">After</th>` : html`<th scope="col">${after ? 'Row' : 'Row that was deleted'}</th>`}</tr></thead>
      <tbody>${columns.map(c => html`
        <tr key=${c.name} class=${'diff-' + c.change} data-testid="column" data-name=${c.name} data-change=${c.change}>
          <th scope="row">${c.name}${CHANGES[c.change] && html`<span class="hidden">, ${CHANGES[c.change]}</span>`}</th>
          ${both ? html`<${Pair} column=${c} />` : html`<td><${Value} value=${after ? c.after : c.before} /></td>`}
        </tr>`)}
        ${more && html`<tr><th scope="row" class="muted">${count(more)} more columns</th><td colspan="2" class="muted">in the record in Kafka</td></tr>`}
      </tbody>
    </table>`;
}

function Pair({column}) {
  const [old, now] = [show(column.before), show(column.after)];
  if (column.change === 'changed' && old.kind === 'value' && now.kind === 'value' && old.text.length + now.text.length > 12) {
    const [head, was, is, tail] = middle(old.text, now.text);
    if (head.length + tail.length > 3) {
      return html`<td>${head}<del>${was}</del>${tail}</td><td>${head}<ins>${is}</ins>${tail}</td>`;
    }
  }
  const mark = column.change === 'changed';
  return html`<td><${Value} value=${column.before} mark=${mark && 'del'} /></td><td><${Value} value=${column.after} mark=${mark && 'ins'} /></td>`;
}

const NOTES = {
  unchanged: 'unchanged: a large value the update did not touch, so Postgres did not log it (TOAST)',
  null: 'null: no value',
  empty: 'an empty text, which is not null',
  absent: 'not in the event',
};

function Value({value, mark}) {
  const v = show(value);
  const word = html`<span class=${'value value-' + v.kind} title=${NOTES[v.kind]} data-kind=${v.kind}>${v.kind === 'absent' ? '–' : v.text}${v.kind === 'cut' && html`<span class="cut">… ${bytes(v.bytes)} in all</span>`}</span>`;
  if (mark === 'del') return html`<del>${word}</del>`;
  return mark === 'ins' ? html`<ins>${word}</ins>` : word;
}

const Lost = ({event}) => html`
  <div class="detail detail-lost" role="region" aria-label="Event that is not held" data-testid="event-lost">
    <p>The event <code>${event}</code> is not among the last 2,000 that this dashboard holds. Stream it again with <code>livedb replay --from ${event.replace(/^\d+@/, '').replace(/:\d+$/, '')}</code></p>
    <button type="button" class="plain icon-button" aria-label="Close" onClick=${() => (lostEvent.value = '')}><${Icon} name="close" /></button>
  </div>`;
