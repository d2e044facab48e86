// One event as a row of the tail.
import {html} from './html.js';
import {clock} from './format.js';
import {opName} from './filter.js';
import {gist, keyText} from './row.js';
import {oneSchema, selected, zone} from './store.js';

const MOST_LETTERS = 60; // of a value

/** The element id of an event's row. */
export const rowID = row => `event-${row.epoch}-${row.seq}`;

const sameTransaction = (row, other) => other && !other.gap && other.xid === row.xid && other.epoch === row.epoch;

export function Row({row, newer, older, y, index, open, narrow}) {
  const dot = row.table.indexOf('.');
  const schema = oneSchema.value ? '' : row.table.slice(0, dot + 1);
  const up = sameTransaction(row, newer) ? ' bracket-up' : '';
  const down = sameTransaction(row, older) ? ' bracket-down' : '';
  return html`
    <div id=${rowID(row)} class=${'row' + (open ? ' row-open' : '')} role="row" aria-rowindex=${index + 1} aria-selected=${open}
      style=${{transform: `translateY(${y}px)`}} data-testid="row" data-seq=${row.seq} data-op=${row.op}
      onClick=${() => (selected.value = open ? null : row)}>
      <span class=${'bracket' + up + down} role="presentation"></span>
      <span role="gridcell" class=${`op op-${row.op}`} title=${opName(row.op)}>
        <span aria-hidden="true">${row.op}</span><span class="hidden">${opName(row.op)}</span>
      </span>
      <span role="gridcell" class="time">${clock(row.ts_us / 1000, zone.value === 'utc', !narrow)}</span>
      <span role="gridcell" class="table" title=${row.table}><span class="schema">${schema}</span>${row.table.slice(dot + 1)}</span>
      <span role="gridcell" class="key">${keyText(row)}</span>
      <span role="gridcell" class="gist"><${Gist} row=${row} /></span>
      <span role="gridcell" class="pos">${row.pos}</span>
      <span role="gridcell" class="xid">${row.xid}</span>
    </div>`;
}

function Gist({row}) {
  const parts = gist(row);
  if (parts.length === 0 && row.op === 'u') return html`<span class="muted">no column changed</span>`;
  return parts.map(part => html`<${Part} key=${part.name} ...${part} />`);
}

const Part = ({name, before, value}) => html`
  <span class="gist-part">
    <span class="gist-name">${name}</span>
    ${before && html`<${Word} ...${before} /><span class="arrow" role="img" aria-label="becomes">→</span>`}
    <${Word} ...${value} />
  </span>`;

const Word = ({kind, text}) => html`
  <span class=${'value value-' + kind}>${text.length > MOST_LETTERS ? text.slice(0, MOST_LETTERS) + '…' : text}</span>`;
