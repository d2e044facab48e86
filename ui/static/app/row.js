// A row's states: parsing without loss, and the difference between before and after. Pure.

const PLACEHOLDER = '__debezium_unavailable_value';
const PLACEHOLDER_BASE64 = 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==';
const PLACEHOLDER_CODES = JSON.stringify([...PLACEHOLDER].map(c => c.charCodeAt(0)));

/** A number that a double cannot hold keeps its digits. */
class Exact {
  constructor(source) {
    this.source = source;
  }
  toString() {
    return this.source;
  }
  toJSON() {
    return this.source;
  }
}

const keepDigits = (_, value, context) =>
  typeof value === 'number' && context?.source && context.source !== String(value) ? new Exact(context.source) : value;

/** Parses a JSON object; null for null, and {$raw: text} for what does not parse. */
export function parse(text) {
  if (text == null) return null;
  try {
    const value = JSON.parse(text, keepDigits);
    return value && typeof value === 'object' && !Array.isArray(value) ? value : {$raw: text};
  } catch {
    return {$raw: text};
  }
}

/** The row's key, before and after, parsed once. */
export function states(row) {
  return row.parsed ??= {key: parse(row.key), before: parse(row.before), after: parse(row.after)};
}

/** Says whether a value is the placeholder of a large column that an update did not touch and Postgres did not log. */
export function isUnchanged(value) {
  if (typeof value === 'string') {
    return value === PLACEHOLDER || value === PLACEHOLDER_BASE64 || value === `{"${PLACEHOLDER}":"${PLACEHOLDER}"}`;
  }
  if (Array.isArray(value)) {
    return value.length === 1 && value[0] === PLACEHOLDER || JSON.stringify(value) === PLACEHOLDER_CODES;
  }
  return false;
}

/** A value as text, or what it is instead: {kind: 'value' | 'null' | 'empty' | 'unchanged' | 'cut' | 'absent', text}. */
export function show(value) {
  if (value === undefined) return {kind: 'absent', text: ''};
  if (value === null) return {kind: 'null', text: 'null'};
  if (value === '') return {kind: 'empty', text: 'empty'};
  if (isUnchanged(value)) return {kind: 'unchanged', text: 'unchanged'};
  if (value instanceof Exact) return {kind: 'value', text: value.source};
  if (typeof value === 'object') {
    if (value.$cut) return {kind: 'cut', text: value.$cut.head, bytes: value.$cut.bytes};
    return {kind: 'value', text: JSON.stringify(value)};
  }
  return {kind: 'value', text: String(value)};
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/**
 * Compares a row's states column by column: [{name, before, after, change}], the changed columns first. change is
 * 'changed', 'same', 'unchanged' (not logged), 'added' (an insert's) or 'removed' (a delete's).
 */
export function diff(row) {
  const {before, after} = states(row);
  const names = Object.keys(after || before || {}).filter(name => name !== '$more');
  const columns = names.map(name => {
    const old = before ? before[name] : undefined;
    const now = after ? after[name] : undefined;
    let change = 'same';
    if (!after) change = 'removed';
    else if (isUnchanged(now)) change = 'unchanged';
    else if (!before) change = row.op === 'u' ? 'same' : 'added';
    else if (!same(old, now)) change = 'changed';
    return {name, before: old, after: now, change};
  });
  const rank = {changed: 0, added: 0, removed: 0, unchanged: 2, same: 1};
  return columns.map((c, i) => [c, i]).sort(([a, i], [b, j]) => rank[a.change] - rank[b.change] || i - j).map(([c]) => c);
}

/** Splits two texts into what they share at both ends and what differs: [head, old, now, tail]. */
export function middle(old, now) {
  let head = 0;
  const most = Math.min(old.length, now.length);
  while (head < most && old[head] === now[head]) head++;
  let tail = 0;
  while (tail < most - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail++;
  return [old.slice(0, head), old.slice(head, old.length - tail), now.slice(head, now.length - tail), old.slice(old.length - tail)];
}

/** The key in few characters: 4711, or order_id 12, line 3. */
export function keyText(row) {
  const {key} = states(row);
  if (!key) return '';
  const names = Object.keys(key);
  if (names.length === 1) return show(key[names[0]]).text;
  return names.map(name => show(key[name]).text).join(' · ');
}

/** The first few things worth knowing of a row: [{name, before?, value}]. */
export function gist(row, most = 4) {
  const {key, before, after} = states(row);
  const columns = diff(row);
  if (row.op === 'u' && before) {
    const changed = columns.filter(c => c.change === 'changed').slice(0, most);
    return changed.map(c => ({name: c.name, before: show(c.before), value: show(c.after)}));
  }
  const state = after || before || {};
  return columns.filter(c => !key || !(c.name in key)).slice(0, most).map(c => ({name: c.name, value: show(state[c.name])}));
}

/** The event as one JSON text, with the row's states as they came. */
export function toJSON(row) {
  const {parsed, before, after, key, ...rest} = row;
  const head = JSON.stringify(rest, null, 2).slice(0, -2);
  return `${head},\n  "key": ${key ?? 'null'},\n  "before": ${before ?? 'null'},\n  "after": ${after ?? 'null'}\n}`;
}
