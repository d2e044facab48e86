// The one connection to the server: an EventSource, opened again when it breaks, when the filter changes and when the
// page is looked at again. A hidden page lets go of it: browsers allow six connections to a server.
import {effect} from '@preact/signals';
import * as store from './store.js';
import {parameters} from './filter.js';

const HIDDEN_FOR = 30000;
const FIRST_RETRY = 500;
const LAST_RETRY = 5000;

let source = null;
let shownFilter = null; // parameters of the open connection
let timer = 0;
let attempt = 0;
let hiddenTimer = 0;

const wait = () => Math.min(LAST_RETRY, FIRST_RETRY * 2 ** Math.min(attempt, 4)) * (0.75 + Math.random() / 2);

function phase(name, more = {}) {
  store.connection.value = {phase: name, since: Date.now(), attempt, retryAt: 0, ...more};
}

/** Opens the connection, in place of one that is open. */
export function connect() {
  clearTimeout(timer);
  source?.close();
  const p = parameters(store.filter.value);
  const filter = p.toString();
  if (store.place && filter === shownFilter) {
    p.set('after', store.place.pos);
    p.set('epoch', store.place.epoch);
    p.set('seq', store.place.seq);
  }
  shownFilter = filter;
  if (store.connection.value.phase !== 'live') phase('connecting');
  const mine = (source = new EventSource('/api/v1/stream?' + p));
  const on = (name, take) => mine.addEventListener(name, event => {
    if (mine !== source) return;
    store.heard.value = Date.now();
    take(JSON.parse(event.data));
  });
  on('snapshot', value => {
    attempt = 0;
    phase('live');
    store.applySnapshot(value);
  });
  for (const [name, take] of Object.entries(store.apply)) on(name, take);
  on('bye', () => lose());
  mine.onerror = () => mine === source && lose();
}

function lose() {
  source?.close();
  source = null;
  if (document.hidden) {
    phase('asleep');
    return;
  }
  const pause = wait();
  attempt++;
  phase('lost', {retryAt: Date.now() + pause});
  clearTimeout(timer);
  timer = setTimeout(connect, pause);
}

/** Begins, and watches the filter and whether the page is looked at. */
export function start() {
  connect();

  let first = true;
  let filterTimer = 0;
  effect(() => {
    const next = parameters(store.filter.value).toString();
    const held = store.paused.value; // while paused, the filter looks through what is held
    if (first) {
      first = false;
      return;
    }
    clearTimeout(filterTimer);
    if (!held && next !== shownFilter) filterTimer = setTimeout(() => next !== shownFilter && connect(), 250);
  });

  document.addEventListener('visibilitychange', () => {
    clearTimeout(hiddenTimer);
    if (!document.hidden && !source) connect();
    if (document.hidden) {
      hiddenTimer = setTimeout(() => {
        source?.close();
        source = null;
        clearTimeout(timer);
        phase('asleep');
      }, HIDDEN_FOR);
    }
  });
  window.addEventListener('online', () => !source && connect());
}
