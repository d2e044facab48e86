// The controls of the tail's filter.
import {html} from './html.js';
import {OPS, predicate} from './filter.js';
import {Icon} from './icons.js';
import {filter, filterComplaint, flow, setFilter} from './store.js';

export function Filters() {
  const f = filter.value;
  return html`
    <div class="filters" role="search" aria-label="Filter the tail">
      <${Search} q=${f.q} bad=${filterComplaint.value} />
      <${Tables} table=${f.table} />
      <${Ops} ops=${f.op} />
      <button type="button" class=${predicate(f) || f.q ? 'plain' : 'plain absent'} data-testid="filter-clear"
        onClick=${() => setFilter({table: '', op: '', q: ''})}>Clear</button>
    </div>`;
}

const Search = ({q, bad}) => html`
  <label class="search">
    <span class="hidden">Search rows, keys and positions</span>
    <${Icon} name="search" size=${14} />
    <input id="search" type="search" placeholder="Search, or xid:4711" value=${q} maxlength="200" autocomplete="off"
      spellcheck="false" aria-invalid=${bad ? 'true' : null} data-testid="filter-text"
      onInput=${event => setFilter({q: event.target.value})} />
    <kbd aria-hidden="true">/</kbd>
  </label>`;

function Tables({table}) {
  const known = (flow.value?.tables || []).map(t => t.table);
  const names = [...new Set([...known, table].filter(Boolean))].sort();
  return html`
    <label class="select">
      <span class="hidden">Table</span>
      <select data-testid="filter-table" value=${table} onChange=${event => setFilter({table: event.target.value})}>
        <option value="">All tables</option>
        ${names.map(name => html`<option key=${name} value=${name}>${name}</option>`)}
      </select>
    </label>`;
}

function Ops({ops}) {
  const toggle = op => setFilter({op: ops.includes(op) ? ops.replace(op, '') : ops + op});
  return html`
    <div class="ops" role="group" aria-label="Operations">
      ${OPS.map(([op, name]) => html`
        <button key=${op} type="button" class=${`op op-${op}`} aria-pressed=${ops.includes(op)} aria-label=${name} title=${name}
          data-testid=${'filter-op-' + op} onClick=${() => toggle(op)}>${op}</button>`)}
    </div>`;
}
