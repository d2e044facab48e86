// The live tail: the newest event on top. Only the rows in sight are in the document.
import {useEffect, useRef, useState} from 'preact/hooks';
import {signal} from '@preact/signals';
import {html} from './html.js';
import {clock, count, plural} from './format.js';
import {OPS, opName, predicate} from './filter.js';
import {gist, keyText} from './row.js';
import {Icon} from './icons.js';
import {Empty} from './empty.js';
import {Detail} from './detail.js';
import {buffer, connection, filter, filterComplaint, flow, paused, scrolled, selected, setFilter, setPaused, setScrolled, tailVersion, zone} from './store.js';

const NARROW = 640;

/** How the page tells of events it does not show. */
const GAPS = {
  rate: 'more came than a page is sent',
  paused: 'they came while the tail was paused, more than it holds',
  reader: 'the dashboard was away from Kafka',
  reconnect: 'this page was away',
  restart: 'the stream began again with new numbers',
};

const goTop = signal(0);

/** Shows the newest events again and goes on. */
export function jumpToLive() {
  setPaused(false);
  setScrolled(false);
  goTop.value++;
}

/** Opens the next (+1, older) or previous (-1, newer) event. The list holds still for it. */
export function step(by) {
  if (!paused.value) setPaused(true);
  const events = buffer.shown.filter(item => !item.gap);
  if (events.length === 0) return;
  const at = selected.value ? events.findIndex(e => e.seq === selected.value.seq && e.epoch === selected.value.epoch) : -1;
  const next = at < 0 ? events.length - 1 : Math.min(events.length - 1, Math.max(0, at - by));
  selected.value = events[next];
}

export function Tail() {
  tailVersion.value;
  const held = paused.value || scrolled.value;
  const shown = buffer.shown;
  return html`
    <section class="panel panel-tail" id="tail" aria-labelledby="tail-title" data-testid="tail" data-held=${held} data-rows=${shown.length}>
      <header>
        <h2 id="tail-title">Live tail</h2>
        <span class="hidden" data-testid="tail-state">${paused.value ? 'paused' : scrolled.value ? 'held' : 'live'}</span>
        <${Filters} />
        <button type="button" class=${'pause' + (paused.value ? ' pause-on' : '')} aria-pressed=${paused.value} data-testid="pause" title=${paused.value ? 'Resume (Space)' : 'Pause (Space)'} onClick=${() => setPaused(!paused.value)}>
          <${Icon} name=${paused.value ? 'play' : 'pause'} />${paused.value ? 'Resume' : 'Pause'}
        </button>
      </header>
      ${filterComplaint.value && html`<p class="caution" role="alert" data-testid="filter-complaint">${filterComplaint.value}</p>`}
      <${List} shown=${shown} held=${held} />
      <${Detail} />
    </section>`;
}

function Filters() {
  const f = filter.value;
  const tables = [...new Set([...(flow.value?.tables || []).map(t => t.table), f.table].filter(Boolean))].sort();
  const toggle = op => setFilter({op: f.op.includes(op) ? f.op.replace(op, '') : f.op + op});
  const any = predicate(f) || f.q;
  return html`
    <div class="filters" role="search" aria-label="Filter the tail">
      <label class="search"><span class="hidden">Search rows, keys and positions</span><${Icon} name="search" size=${14} />
        <input id="search" type="search" placeholder="Search, or xid:4711" value=${f.q} maxlength="200" autocomplete="off" spellcheck="false" aria-invalid=${filterComplaint.value ? 'true' : null} data-testid="filter-text" onInput=${e => setFilter({q: e.target.value})} />
        <kbd aria-hidden="true">/</kbd>
      </label>
      <label class="select"><span class="hidden">Table</span>
        <select data-testid="filter-table" value=${f.table} onChange=${e => setFilter({table: e.target.value})}>
          <option value="">All tables</option>
          ${tables.map(t => html`<option key=${t} value=${t}>${t}</option>`)}
        </select>
      </label>
      <div class="ops" role="group" aria-label="Operations">
        ${OPS.map(([op, name]) => html`<button key=${op} type="button" class=${`op op-${op}`} aria-pressed=${f.op.includes(op)} aria-label=${name} title=${name} data-testid=${'filter-op-' + op} onClick=${() => toggle(op)}>${op}</button>`)}
      </div>
      ${any && html`<button type="button" class="plain" data-testid="filter-clear" onClick=${() => setFilter({table: '', op: '', q: ''})}>Clear</button>`}
    </div>`;
}

function List({shown, held}) {
  tailVersion.value; // what waits is counted here, while shown stays the same
  const box = useRef(null);
  const [size, setSize] = useState({width: 900, height: 400});
  const [top, setTop] = useState(0);
  const narrow = size.width < NARROW;
  const rowHeight = narrow ? 50 : 29;

  useEffect(() => {
    const watch = new ResizeObserver(() => box.current && setSize({width: box.current.clientWidth, height: box.current.clientHeight}));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    box.current.scrollTop = 0;
  }, [goTop.value]);

  // The open event stays in sight when the keyboard moves it.
  const open = selected.value;
  useEffect(() => {
    if (!open || !held) return;
    const i = shown.findIndex(item => item.seq === open.seq && item.epoch === open.epoch);
    if (i < 0) return;
    const y = (shown.length - 1 - i) * rowHeight;
    const {scrollTop, clientHeight} = box.current;
    if (y < scrollTop) box.current.scrollTop = y;
    else if (y + rowHeight > scrollTop + clientHeight) box.current.scrollTop = y + rowHeight - clientHeight;
  }, [open]);

  const scroll = () => {
    setTop(box.current.scrollTop);
    setScrolled(box.current.scrollTop > 4);
  };
  const first = Math.max(0, Math.floor(top / rowHeight) - 4);
  const last = Math.min(shown.length, Math.ceil((top + size.height) / rowHeight) + 4);
  const rows = [];
  for (let i = first; i < last; i++) {
    const item = shown[shown.length - 1 - i];
    const y = i * rowHeight;
    rows.push(item.gap
      ? html`<${Gap} key=${'gap' + i} gap=${item.gap} y=${y} index=${i} />`
      : html`<${Row} key=${item.epoch + ':' + item.seq} row=${item} y=${y} index=${i} narrow=${narrow} open=${open?.seq === item.seq && open?.epoch === item.epoch}
          joins=${{newer: sameTransaction(item, shown[shown.length - i]), older: sameTransaction(item, shown[shown.length - 2 - i])}} />`);
  }
  const active = open && rows.some(r => r.props.row === open) ? rowID(open) : null;
  return html`
    <div class=${'list' + (narrow ? ' list-narrow' : '')}>
      ${held && html`<button type="button" class="fresh-pill" data-testid="jump-live" data-fresh=${buffer.fresh} onClick=${jumpToLive}><${Icon} name="up" size=${14} />${buffer.fresh > 0 ? html`<b data-testid="fresh-count">+${count(buffer.fresh)} new</b>` : 'nothing new'} · jump to live</button>`}
      <div class="list-head" aria-hidden="true"><span></span><span>Op</span><span>Committed</span><span>Table</span><span>Key</span><span>Change</span><span>Position</span><span>Transaction</span></div>
      <div class="scroller" ref=${box} onScroll=${scroll} tabindex="0" role=${shown.length ? 'grid' : 'region'} aria-label="Events, the newest first" aria-rowcount=${shown.length || null} aria-activedescendant=${active} data-testid="list">
        <div class="rows" role=${shown.length ? 'rowgroup' : null} style=${{height: shown.length * rowHeight + 'px'}}>${rows}</div>
        ${shown.length === 0 && html`<${Nothing} />`}
      </div>
    </div>`;
}

const sameTransaction = (row, other) => other && !other.gap && other.xid === row.xid && other.epoch === row.epoch;
const rowID = row => `event-${row.epoch}-${row.seq}`;
const at = y => ({transform: `translateY(${y}px)`});

const Gap = ({gap, y, index}) => html`
  <div class="row row-gap" role="row" aria-rowindex=${index + 1} style=${at(y)} data-testid="gap" data-missed=${gap.missed} data-why=${gap.why}>
    <span role="gridcell">${gap.missed > 0 ? `${plural(gap.missed, 'event')} not shown` : 'Some events may not be shown'}: ${GAPS[gap.why] || gap.why}</span>
  </div>`;

function Row({row, y, index, open, joins, narrow}) {
  const [schema, table] = split(row.table);
  const bracket = `bracket${joins.newer ? ' bracket-up' : ''}${joins.older ? ' bracket-down' : ''}`;
  return html`
    <div id=${rowID(row)} class=${'row' + (open ? ' row-open' : '')} role="row" aria-rowindex=${index + 1} aria-selected=${open} style=${at(y)} data-testid="row" data-seq=${row.seq} data-op=${row.op} onClick=${() => (selected.value = open ? null : row)}>
      <span class=${bracket} role="presentation"></span>
      <span role="gridcell" class=${`op op-${row.op}`} title=${opName(row.op)}><span aria-hidden="true">${row.op}</span><span class="hidden">${opName(row.op)}</span></span>
      <span role="gridcell" class="time">${clock(row.ts_us / 1000, zone.value === 'utc', !narrow)}</span>
      <span role="gridcell" class="table">${schema && html`<span class="schema">${schema}.</span>`}${table}</span>
      <span role="gridcell" class="key">${keyText(row)}</span>
      <span role="gridcell" class="gist"><${Gist} row=${row} /></span>
      <span role="gridcell" class="pos">${row.pos}</span>
      <span role="gridcell" class="xid">${row.xid}</span>
    </div>`;
}

const split = name => {
  const dot = name.indexOf('.');
  return dot < 0 ? ['', name] : [name.slice(0, dot), name.slice(dot + 1)];
};

const word = ({kind, text}) => html`<span class=${'value value-' + kind}>${text.length > 60 ? text.slice(0, 60) + '…' : text}</span>`;

const Gist = ({row}) => gist(row).map(({name, before, value}) => html`
  <span class="gist-part" key=${name}><span class="gist-name">${name}</span>${before && html`${word(before)}<span class="arrow" aria-label="becomes">→</span>`}${word(value)}</span>`);

function Nothing() {
  if (!flow.value) return html`<${Empty} busy title=${connection.value.phase === 'lost' ? 'The dashboard does not answer' : 'Connecting'} testid="tail-empty" />`;
  const {events, verdict, read} = flow.value;
  if (predicate(filter.value)) {
    return html`<${Empty} title="No event matches" testid="tail-empty">${paused.value ? 'While paused, the filter looks through what is held. Resume to ask for more.' : 'Of the last 2,000 events none passes this filter; new ones appear as they come.'}<//>`;
  }
  if (events.state !== 'reading') return html`<${Empty} busy title=${verdict.title} testid="tail-empty">${events.detail || verdict.detail}<//>`;
  return html`<${Empty} title="Waiting for the first change" testid="tail-empty">${read.total > 0 ? 'Events will appear here.' : html`Change a row of a captured table, or run <code>livedb burst</code>.`}<//>`;
}
