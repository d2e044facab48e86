// Single keys. They can be switched off, and never act while a field has the focus.
import {openNode, paused, selected, setFilter, setPaused, shortcuts} from './store.js';
import {jumpToLive, step} from './tail.js';
import {copyEvent} from './detail.js';
import {openHelp} from './help.js';

let before = ''; // the first key of a pair such as g t

function go(id) {
  const panel = document.getElementById(id)?.closest('section');
  panel?.scrollIntoView({block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth'});
  panel?.querySelector('button, input, [tabindex="0"]')?.focus({preventScroll: true});
}

const PLACES = {t: 'topology-title', l: 'tail-title', v: 'view-title'};

function escape(target) {
  if (target.id === 'search') {
    if (target.value) setFilter({q: ''});
    else target.blur();
  } else if (selected.value) selected.value = null;
  else if (openNode.value) openNode.value = '';
}

const ACTIONS = {
  '/': () => document.getElementById('search').focus(),
  '?': openHelp,
  ' ': () => setPaused(!paused.value),
  l: jumpToLive,
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  Enter: () => !selected.value && step(0),
  c: () => selected.value && copyEvent(selected.value),
};

function onKey(event) {
  const {key, target} = event;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (key === 'Escape') return escape(target);
  if (shortcuts.value === 'off' || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
  const onControl = target.closest('button, a, summary');
  // What has just gone from sight keeps the focus until the page is next laid out: such a control takes no keys any more.
  if (onControl?.checkVisibility({visibilityProperty: true}) && (key === ' ' || key === 'Enter')) return; // the control's own
  if (key.startsWith('Arrow') && !target.closest('.scroller')) return; // the page's own scrolling
  if (before === 'g' && PLACES[key]) {
    before = '';
    go(PLACES[key]);
    return;
  }
  before = key;
  const action = ACTIONS[key.length === 1 ? key.toLowerCase() : key];
  if (action && !(before === 'g')) {
    event.preventDefault();
    action();
  }
}

export const listen = () => document.addEventListener('keydown', onKey);
