// What the page knows, as signals. Panels read it; feed.js and the controls write it. Nothing is kept in the DOM.
import {batch, computed, effect, signal} from '@preact/signals';
import {complaint, predicate} from './filter.js';
import {TailBuffer} from './tailbuffer.js';

/** The connection: phase is connecting, live, lost or asleep; retryAt and attempt belong to lost. */
export const connection = signal({phase: 'connecting', since: Date.now(), attempt: 0, retryAt: 0});
/** When the server was last heard. */
export const heard = signal(0);
/** Seconds since 1970, moving once a second: what ages on the page depends on it. */
export const second = signal(Math.floor(Date.now() / 1000));
setInterval(() => (second.value = Math.floor(Date.now() / 1000)), 1000);

/** Milliseconds the server has been silent beyond what is usual; 0 while all is well. */
export const silence = computed(() => {
  second.value;
  const quiet = Date.now() - heard.value;
  return connection.value.phase === 'live' && quiet > 3500 ? quiet : 0;
});

export const server = signal(null); // {prefix, version, started}
export const flow = signal(null);
export const latency = signal(null);

/** Whether all tables seen are of one schema, which then need not be told with each. */
export const oneSchema = computed(() => {
  const schemas = new Set((flow.value?.tables || []).map(t => t.table.slice(0, t.table.indexOf('.'))));
  return schemas.size <= 1;
});

// Charts

const COLUMNS = 11; // time, offered, written, captured, processed, arrived, p50, p95, p99, max, heat
const MOST_POINTS = 900;

/** The charts' columns; version moves when they change. */
export const history = {columns: Array.from({length: COLUMNS}, () => [])};
export const historyVersion = signal(0);

function addPoints(points) {
  const columns = history.columns;
  for (const point of points) {
    const last = columns[0][columns[0].length - 1] ?? -Infinity;
    if (point[0] <= last) continue;
    if (point[0] - last > 3 && last > 0) pushPoint([last + 1, ...Array(COLUMNS - 1).fill(null)]); // no line across a hole
    pushPoint(point);
  }
  const extra = columns[0].length - MOST_POINTS;
  if (extra > 60) history.columns = columns.map(column => column.slice(extra));
  historyVersion.value++;
}

function pushPoint(point) {
  history.columns.forEach((column, i) => column.push(point[i]));
}

/** How far back the charts show, in seconds. */
export const RANGES = [[60, '1m'], [300, '5m'], [900, '15m']];

// The view

const VIEW_REACH = 900;

/** The view's groups: second → status → {orders, revenue}. */
export const view = {seconds: new Map(), newest: 0};
export const viewVersion = signal(0);
export const viewLoaded = signal(false);
export const viewPosition = signal('');

function applyView(update) {
  if (update.reset) {
    view.seconds.clear();
    view.newest = 0;
  }
  for (const {s, t, o, r} of update.groups) {
    if (t > view.newest && t < Date.now() / 1000 + 60) view.newest = t;
    let of = view.seconds.get(t);
    if (!of) view.seconds.set(t, (of = new Map()));
    if (o === null) of.delete(s ?? 'null');
    else of.set(s ?? 'null', {orders: o, revenue: Number(r ?? 0), changed: performance.now()});
    if (of.size === 0) view.seconds.delete(t);
  }
  for (const t of view.seconds.keys()) if (t < view.newest - VIEW_REACH) view.seconds.delete(t);
  viewLoaded.value = update.loaded;
  if (update.pos) viewPosition.value = update.pos;
  viewVersion.value++;
}

// The tail

export const buffer = new TailBuffer();
export const tailVersion = signal(0);
/** Why the tail is held: paused by the user, or scrolled away from the newest. */
export const paused = signal(false);
export const scrolled = signal(false);
/** Where the stream is: the last event the server looked at for this page. */
export let place = null;
/** The event that is open beside the list. */
export const selected = signal(null);
/** The event that the address names but nobody holds. */
export const lostEvent = signal('');

let drawn = 0;
let due = 0;

// In a flood the list is drawn eight times a second: faster is not readable, and costs.
function redrawTail() {
  if (due) return;
  const wait = Math.max(0, drawn + 120 - performance.now());
  due = setTimeout(() => requestAnimationFrame(() => {
    due = 0;
    drawn = performance.now();
    tailVersion.value++;
  }), wait);
}

function applyTail(frame) {
  buffer.push(frame);
  if (frame.at) place = frame.at;
  redrawTail();
}

function holdOrRelease() {
  if (paused.value || scrolled.value) buffer.hold();
  else buffer.release();
  redrawTail();
}

export function setPaused(value) {
  paused.value = value;
  holdOrRelease();
}

export function setScrolled(value) {
  if (scrolled.value === value) return;
  scrolled.value = value;
  holdOrRelease();
}

export function clearTail() {
  buffer.clear();
  place = null;
  redrawTail();
}

// Settings and filter: in the address, so that a link shows the same

const address = new URLSearchParams(location.search);

export const filter = signal({
  table: address.get('table') || '',
  op: [...(address.get('op') || '')].filter(op => 'cudrtm'.includes(op)).join(''),
  q: address.get('q') || '',
});
export const range = signal(RANGES.some(([s]) => String(s) === address.get('range')) ? Number(address.get('range')) : 300);
export const measure = signal(address.get('measure') === 'revenue' ? 'revenue' : 'orders');
export const form = signal(['lines', 'table'].includes(address.get('form')) ? address.get('form') : 'stacked');
/** The event that the address names, as epoch@position. */
export const wanted = address.get('event');

effect(() => {
  const p = new URLSearchParams();
  const set = (name, value, usual) => value !== usual && p.set(name, value);
  set('table', filter.value.table, '');
  set('op', filter.value.op, '');
  set('q', filter.value.q.trim(), '');
  set('range', range.value, 300);
  set('measure', measure.value, 'orders');
  set('form', form.value, 'stacked');
  if (selected.value) p.set('event', `${selected.value.epoch}@${selected.value.pos}`);
  const search = p.toString().replaceAll('%3A', ':').replaceAll('%2F', '/').replaceAll('%40', '@');
  const next = location.pathname + (search && '?' + search);
  if (next !== location.pathname + location.search) window.history.replaceState(null, '', next);
});

export const filterComplaint = computed(() => complaint(filter.value.q));

effect(() => {
  buffer.filter(predicate(filter.value));
  redrawTail();
});

export const setFilter = change => (filter.value = {...filter.value, ...change});

// Settings: in the browser, for they belong to the person

function stored(name, usual, allowed) {
  let value = usual;
  try {
    const text = localStorage.getItem('livedb.' + name);
    if (allowed.includes(text)) value = text;
  } catch {
    // Storage may be forbidden: the setting then lasts as long as the page.
  }
  const s = signal(value);
  effect(() => {
    try {
      localStorage.setItem('livedb.' + name, s.value);
    } catch {
      // As above.
    }
  });
  return s;
}

export const theme = stored('theme', 'auto', ['auto', 'dark', 'light']);
export const zone = stored('zone', 'local', ['local', 'utc']);
export const shortcuts = stored('shortcuts', 'on', ['on', 'off']);
export const openNode = signal('');

const systemLight = matchMedia('(prefers-color-scheme: light)');
const systemTheme = signal(systemLight.matches ? 'light' : 'dark');
systemLight.addEventListener('change', () => (systemTheme.value = systemLight.matches ? 'light' : 'dark'));
/** The theme that is shown: dark or light. Charts are drawn anew when it moves. */
export const shownTheme = computed(() => (theme.value === 'auto' ? systemTheme.value : theme.value));
effect(() => {
  document.documentElement.dataset.theme = shownTheme.value;
});

/** A short message at the page's foot, gone after some seconds. */
export const note = signal('');
let noteTimer = 0;
export function say(text) {
  note.value = text;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => (note.value = ''), 5000);
}

// Events of the stream

/** Takes the first event of a connection. */
export function applySnapshot(s) {
  batch(() => {
    server.value = {prefix: s.prefix, version: s.version, started: s.started};
    flow.value = s.flow;
    latency.value = s.latency;
    if (!s.resumed) clearTail();
    addPoints(s.history);
    applyView({...s.view, reset: true});
  });
}

export const apply = {
  flow: value => (flow.value = value),
  latency: value => (latency.value = value),
  history: addPoints,
  view: applyView,
  tail: applyTail,
};
