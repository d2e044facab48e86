// The live tail: the newest event on top. Only the rows in sight are in the document.
import {useEffect, useRef, useState} from 'preact/hooks';
import {signal} from '@preact/signals';
import {html} from './html.js';
import {count, plural} from './format.js';
import {predicate} from './filter.js';
import {Filters} from './filters.js';
import {Icon} from './icons.js';
import {Empty} from './empty.js';
import {Detail} from './detail.js';
import {Row, rowID} from './tailrow.js';
import {
  buffer, connection, filter, filterComplaint, flow, paused, scrolled, selected, setPaused, setScrolled, tailVersion,
} from './store.js';

const NARROW = 640; // pixels, below which a row takes two lines
const OVERSCAN = 4; // rows drawn beyond each edge

/** How the page tells of events it does not show. */
const GAPS = {
  rate: 'more came than a page is sent',
  paused: 'they came while the tail was paused, more than it holds',
  reader: 'the dashboard was away from Kafka',
  reconnect: 'this page was away',
  restart: 'the stream began again with new numbers',
};

// The stream itself has lost changes: that is no event of the page's.
const lostText = ({epoch, from_lsn, to_lsn, why}) => `Epoch ${epoch} begins here: changes from ${from_lsn} to ${to_lsn} are lost (${why})`;

const goTop = signal(0);

/** Shows the newest events again and goes on. */
export function jumpToLive() {
  setPaused(false);
  setScrolled(false);
  goTop.value++;
}

const is = (item, row) => row != null && item.seq === row.seq && item.epoch === row.epoch;

/** Opens the next (+1, older) or previous (-1, newer) event. The list holds still for it. */
export function step(by) {
  if (!paused.value) setPaused(true);
  const events = buffer.shown.filter(item => !item.gap);
  if (events.length === 0) return;
  const at = events.findIndex(event => is(event, selected.value));
  selected.value = events[at < 0 ? events.length - 1 : Math.min(events.length - 1, Math.max(0, at - by))];
}

export function Tail() {
  tailVersion.value;
  const held = paused.value || scrolled.value;
  const shown = buffer.shown;
  return html`
    <section class="panel panel-tail" id="tail" aria-labelledby="tail-title" data-testid="tail" data-held=${held}
      data-rows=${shown.length}>
      <header>
        <h2 id="tail-title">Live tail</h2>
        <span class="hidden" data-testid="tail-state">${paused.value ? 'paused' : scrolled.value ? 'held' : 'live'}</span>
        <${Filters} />
        <${Pause} />
      </header>
      ${filterComplaint.value && html`
        <p class="caution" role="alert" data-testid="filter-complaint">${filterComplaint.value}</p>`}
      <${List} shown=${shown} held=${held} />
      <${Detail} />
    </section>`;
}

const Pause = () => {
  const word = paused.value ? 'Resume' : 'Pause';
  return html`
    <button type="button" class=${'pause' + (paused.value ? ' pause-on' : '')} aria-pressed=${paused.value}
      title=${word + ' (Space)'} data-testid="pause" onClick=${() => setPaused(!paused.value)}>
      <${Icon} name=${paused.value ? 'play' : 'pause'} />${word}
    </button>`;
};

function List({shown, held}) {
  tailVersion.value; // what waits is counted here, while shown stays the same
  const box = useRef(null);
  const [size, setSize] = useState({width: 900, height: 400});
  const [top, setTop] = useState(0);
  const narrow = size.width < NARROW;
  const height = narrow ? 50 : 29; // of a row, as in tail.css
  const open = selected.value;

  useEffect(() => {
    const measure = () => box.current && setSize({width: box.current.clientWidth, height: box.current.clientHeight});
    const watch = new ResizeObserver(measure);
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    box.current.scrollTop = 0;
  }, [goTop.value]);
  useEffect(() => {
    if (held) showRow(box.current, shown.length - 1 - shown.findIndex(item => is(item, open)), shown.length, height);
  }, [open]);

  const scroll = () => {
    setTop(box.current.scrollTop);
    setScrolled(box.current.scrollTop > 4);
  };
  const first = Math.max(0, Math.floor(top / height) - OVERSCAN);
  const last = Math.min(shown.length, Math.ceil((top + size.height) / height) + OVERSCAN);
  const rows = [];
  for (let i = first; i < last; i++) {
    const item = shown[shown.length - 1 - i];
    const common = {index: i, y: i * height};
    rows.push(item.gap
      ? html`<${Gap} key=${'gap' + i} gap=${item.gap} ...${common} />`
      : html`<${Row} key=${item.epoch + ':' + item.seq} row=${item} newer=${shown[shown.length - i]}
          older=${shown[shown.length - 2 - i]} open=${is(item, open)} narrow=${narrow} ...${common} />`);
  }

  const some = shown.length > 0;
  const active = rows.some(row => row.props.row && is(row.props.row, open)) ? rowID(open) : null;
  return html`
    <div class=${'list' + (narrow ? ' list-narrow' : '')}>
      ${held && html`<${JumpToLive} />`}
      <${Head} />
      <div class="scroller" ref=${box} onScroll=${scroll} tabindex="0" role=${some ? 'grid' : 'region'}
        aria-label="Events, the newest first" aria-rowcount=${some ? shown.length : null} aria-activedescendant=${active}
        data-testid="list">
        <div class="rows" role=${some ? 'rowgroup' : null} style=${{height: shown.length * height + 'px'}}>${rows}</div>
        ${!some && html`<${Nothing} />`}
      </div>
    </div>`;
}

// Scrolls a row into sight when the keyboard opens it.
function showRow(box, index, length, height) {
  if (index < 0 || index >= length) return;
  const y = index * height;
  if (y < box.scrollTop) box.scrollTop = y;
  else if (y + height > box.scrollTop + box.clientHeight) box.scrollTop = y + height - box.clientHeight;
}

const HEADS = ['', 'Op', 'Committed', 'Table', 'Key', 'Change', 'Position', 'Transaction'];

const Head = () => html`<div class="list-head" aria-hidden="true">${HEADS.map(h => html`<span key=${h}>${h}</span>`)}</div>`;

const JumpToLive = () => html`
  <button type="button" class="fresh-pill" data-testid="jump-live" data-fresh=${buffer.fresh} onClick=${jumpToLive}>
    <${Icon} name="up" size=${14} />
    ${buffer.fresh > 0 ? html`<b data-testid="fresh-count">+${count(buffer.fresh)} new</b>` : html`<b>nothing new</b>`}
    <span>jump to live</span>
  </button>`;

function Gap({gap, y, index}) {
  const what = gap.missed > 0 ? `${plural(gap.missed, 'event')} not shown` : 'Some events may not be shown';
  return html`
    <div class="row row-gap" role="row" aria-rowindex=${index + 1} style=${{transform: `translateY(${y}px)`}}
      data-testid="gap" data-missed=${gap.missed} data-why=${gap.why}>
      <span role="gridcell">${gap.lost ? lostText(gap.lost) : `${what}: ${GAPS[gap.why] || gap.why}`}</span>
    </div>`;
}

// What the list says while it has no row: what it waits for, and the next step.
function Nothing() {
  const lost = connection.value.phase === 'lost';
  if (!flow.value) {
    return html`<${Empty} busy title=${lost ? 'The dashboard does not answer' : 'Connecting'} testid="tail-empty" />`;
  }
  const {events, verdict, read} = flow.value;
  if (predicate(filter.value)) {
    const why = paused.value
      ? 'While paused, the filter looks through what is held. Resume to ask for more.'
      : 'Of the last 2,000 events none passes this filter; new ones appear as they come.';
    return html`<${Empty} title="No event matches" testid="tail-empty">${why}<//>`;
  }
  if (events.state !== 'reading') {
    return html`<${Empty} busy title=${verdict.title} testid="tail-empty">${events.detail || verdict.detail}<//>`;
  }
  return html`
    <${Empty} title="Waiting for the first change" testid="tail-empty">
      ${read.total > 0
        ? 'Events appear here as they come.'
        : html`Change a row of a captured table, or run <code>livedb burst</code>.`}
    <//>`;
}
