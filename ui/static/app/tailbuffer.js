// What the live tail holds. Pure: no DOM, no clock.
//
// Items are events ({seq, …}) or gaps ({gap: {missed, why}}), oldest first. While the tail is held (paused, or scrolled
// away from the top) the items that were there stay, and new ones wait; both are bounded, and what falls out of the
// waiting ones is counted and shown as a gap.

export const CAPACITY = 2000;

export class TailBuffer {
  constructor() {
    this.items = [];
    this.shown = []; // of items, those that match
    this.waiting = [];
    this.waitingShown = 0; // events of waiting that match
    this.overflow = 0; // events that fell out of waiting
    this.held = false;
    this.match = null;
  }

  /** Takes a frame of the stream. */
  push({skipped = 0, rows}) {
    const into = this.held ? this.waiting : this.items;
    const before = into.length;
    if (skipped > 0) addGap(into, {missed: skipped, why: 'rate'});
    for (const row of rows) {
      if (row.gap) addGap(into, row.gap);
      else into.push(row);
    }
    if (this.held) {
      for (let i = before; i < into.length; i++) if (!into[i].gap && this.passes(into[i])) this.waitingShown++;
      this.spill();
      return;
    }
    if (into.length > CAPACITY) this.items = into.slice(-CAPACITY);
    this.refilter();
  }

  // Bounds the waiting items. It lets a tenth fall out at a time, so that a flood does not move the array each time.
  spill() {
    if (this.waiting.length <= CAPACITY * 1.1) return;
    const out = this.waiting.splice(0, this.waiting.length - CAPACITY);
    for (const item of out) {
      this.overflow += item.gap ? item.gap.missed : 1;
      if (!item.gap && this.passes(item)) this.waitingShown--;
    }
  }

  /** Stops the list: what is shown stays. */
  hold() {
    this.held = true;
  }

  /** Lets the list go on with all that waited. */
  release() {
    if (!this.held) return;
    this.held = false;
    const items = this.items;
    if (this.overflow > 0) addGap(items, {missed: this.overflow, why: 'paused'});
    for (const item of this.waiting) {
      if (item.gap) addGap(items, item.gap);
      else items.push(item);
    }
    this.items = items.slice(-CAPACITY);
    this.waiting = [];
    this.waitingShown = this.overflow = 0;
    this.refilter();
  }

  /** Sets the predicate of the events shown; null for all. Gaps are always shown. */
  filter(match) {
    this.match = match;
    this.refilter();
    this.waitingShown = this.waiting.reduce((n, item) => n + (!item.gap && this.passes(item) ? 1 : 0), 0);
  }

  /** Forgets everything. */
  clear() {
    this.items = [];
    this.waiting = [];
    this.waitingShown = this.overflow = 0;
    this.refilter();
  }

  passes(item) {
    return !this.match || this.match(item);
  }

  refilter() {
    this.shown = this.match ? joinGaps(this.items.filter(item => item.gap || this.match(item))) : this.items.slice();
  }

  /** Events that wait, the ones that fell out among them. */
  get fresh() {
    return this.waitingShown + this.overflow;
  }
}

// Neighbouring gaps of one reason become one. A gap of unknown size (0) stays unknown.
function addGap(items, gap) {
  const last = items[items.length - 1];
  if (last?.gap && last.gap.why === gap.why && last.gap.missed && gap.missed) {
    items[items.length - 1] = {gap: {missed: last.gap.missed + gap.missed, why: gap.why}};
    return;
  }
  items.push({gap});
}

function joinGaps(items) {
  const joined = [];
  for (const item of items) {
    if (item.gap) addGap(joined, item.gap);
    else joined.push(item);
  }
  return joined;
}
