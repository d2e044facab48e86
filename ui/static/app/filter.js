// The tail's filter. Pure. The server means the same by the same words (filter.go).

export const OPS = [
  ['c', 'insert'],
  ['u', 'update'],
  ['d', 'delete'],
  ['r', 'read by the snapshot'],
  ['t', 'truncate'],
  ['m', 'message'],
];

/** The word for an operation's letter. */
export const opName = op => (OPS.find(([letter]) => letter === op) || [op, 'unknown'])[1];

/** Says what is wrong with a search text; empty if nothing is. */
export function complaint(q) {
  const text = q.trim();
  if (text.length > 200) return 'Use at most 200 characters.';
  if (text.startsWith('xid:') && !/^xid:\d{1,10}$/.test(text)) return 'Name a transaction by its number, such as xid:4711.';
  return '';
}

/** Returns the predicate of a filter {table, op, q}; null if it lets everything pass. */
export function predicate({table, op, q}) {
  const text = q.trim().toLowerCase();
  const xid = /^xid:(\d+)$/.exec(text);
  if (!table && !op && (!text || complaint(q))) return null;
  return row => {
    if (table && row.table !== table) return false;
    if (op && !op.includes(row.op)) return false;
    if (xid) return row.xid === Number(xid[1]);
    if (!text || complaint(q)) return true;
    return has(row.key, text) || has(row.before, text) || has(row.after, text) || has(row.pos, text);
  };
}

const has = (value, text) => value != null && value.toLowerCase().includes(text);

/** The filter as parameters of an address; nothing for what is not set. */
export function parameters({table, op, q}) {
  const p = new URLSearchParams();
  if (table) p.set('table', table);
  if (op) p.set('op', op);
  if (q.trim() && !complaint(q)) p.set('q', q.trim());
  return p;
}
