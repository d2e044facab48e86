// One event in full: where it stands, and the row before and after, the changed columns first.
import {useState} from 'preact/hooks';
import {html} from './html.js';
import {Choice} from './chart.js';
import {Columns} from './columns.js';
import {count, instant} from './format.js';
import {opName} from './filter.js';
import {Icon} from './icons.js';
import {keyText, toJSON} from './row.js';
import {lostEvent, say, selected, setFilter, zone} from './store.js';

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${what}.`);
  } catch {
    say('This browser does not let the page copy. Select the text under Raw instead.');
  }
}

/** Puts an event on the clipboard, as JSON, and says so. */
export const copyEvent = row => copy(toJSON(row), `the event ${row.pos} as JSON`);

const copyLink = row => copy(`${location.origin}/?event=${row.epoch}@${row.pos}`, 'a link to this event');
const onlyTransaction = row => setFilter({table: '', op: '', q: `xid:${row.xid}`});
const close = () => (selected.value = null);

const FORMS = [['diff', 'Diff'], ['raw', 'Raw']];

export function Detail() {
  const [form, setForm] = useState('diff');
  const row = selected.value;
  if (!row) return lostEvent.value ? html`<${Lost} event=${lostEvent.value} />` : null;
  return html`
    <div class="detail" role="region" aria-label=${`Event ${row.pos}`} data-testid="detail" data-seq=${row.seq}>
      <header>
        <h3>
          <span class=${`op op-${row.op}`} aria-hidden="true">${row.op}</span>
          <span>${opName(row.op)}</span>
          <span class="detail-table">${row.table}</span>
          <span class="detail-key">${keyText(row)}</span>
        </h3>
        <${Choice} label="How to show the event" value=${form} options=${FORMS} onChange=${setForm} testid="detail-form" />
        <button type="button" class="plain" data-testid="copy" title="Copy as JSON (C)" onClick=${() => copyEvent(row)}>
          <${Icon} name="copy" />JSON
        </button>
        <button type="button" class="plain" data-testid="copy-link" onClick=${() => copyLink(row)}><${Icon} name="link" />Link</button>
        <button type="button" class="plain" data-testid="only-transaction" onClick=${() => onlyTransaction(row)}>
          Its transaction
        </button>
        <button type="button" class="plain icon-button" aria-label="Close the event" data-testid="detail-close" onClick=${close}>
          <${Icon} name="close" />
        </button>
      </header>
      <div class="detail-body" tabindex="0" role="region" aria-label="The event's values">
        <${Place} row=${row} />
        ${row.cut && html`
          <p class="caution" data-testid="cut">Long values are shortened here. The record in Kafka is whole.</p>`}
        ${form === 'raw' ? html`<pre class="raw" data-testid="raw">${toJSON(row)}</pre>` : html`<${Columns} row=${row} />`}
      </div>
    </div>`;
}

const Place = ({row}) => html`
  <dl class="meta">
    <div><dt>Position</dt><dd>${row.pos}</dd></div>
    <div><dt>Seq</dt><dd>${count(row.seq)} <span class="muted">of epoch ${row.epoch}</span></dd></div>
    <div><dt>Transaction</dt><dd>${row.xid}</dd></div>
    <div><dt>Committed</dt><dd>${instant(row.ts_us, zone.value === 'utc')}</dd></div>
    <div><dt>In Kafka</dt><dd>${row.topic} <span class="muted">/ ${row.partition} @ ${count(row.offset)}</span></dd></div>
  </dl>`;

// The event that a link names has left the ring; Kafka may still have it.
function Lost({event}) {
  return html`
    <div class="detail detail-lost" role="region" aria-label="Event that is not held" data-testid="event-lost">
      <p>
        The event <code>${event}</code> is not among the last 2,000 that this dashboard holds. Its topic in Kafka may still
        have it.
      </p>
      <button type="button" class="plain icon-button" aria-label="Close" data-testid="event-lost-close"
        onClick=${() => (lostEvent.value = '')}>
        <${Icon} name="close" />
      </button>
    </div>`;
}
