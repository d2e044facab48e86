// Numbers, sizes, durations and times as the page writes them. Pure.

const whole = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
const tenth = new Intl.NumberFormat('en', {minimumFractionDigits: 1, maximumFractionDigits: 1});

/** A count: 12,345. */
export const count = n => (n == null || Number.isNaN(n) ? '–' : whole.format(n));

/** A rate: 0.4, 12, 4,987. */
export const rate = n => {
  if (n == null || Number.isNaN(n)) return '–';
  return n > 0 && n < 9.95 && Math.abs(n - Math.round(n)) > .04 ? tenth.format(n) : whole.format(n);
};

/** A short count for tight places: 950, 12.3k, 4.1M. */
export const short = n => {
  if (n == null || Number.isNaN(n)) return '–';
  if (n < 1000) return whole.format(n);
  const [part, unit] = n < 999950 ? [n / 1e3, 'k'] : [n / 1e6, 'M'];
  return (part < 99.95 ? part.toFixed(1).replace('.0', '') : whole.format(part)) + unit;
};

/** Bytes: 820 B, 1.6 MB. */
export const bytes = n => {
  if (n == null || Number.isNaN(n)) return '–';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return `${i > 0 && n < 99.95 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
};

/** Milliseconds: 0.8 ms, 42 ms, 1.2 s, 3 min. */
export const ms = n => {
  if (n == null || Number.isNaN(n)) return '–';
  if (n < 10) return `${n < .995 && n > 0 ? n.toFixed(2) : n.toFixed(1)} ms`;
  if (n < 999.5) return `${Math.round(n)} ms`;
  if (n < 99950) return `${(n / 1000).toFixed(1)} s`;
  return age(n);
};

/** A duration as a person would say it: 7 s, 3 min, 2 h. */
export const age = n => {
  const s = Math.max(0, n) / 1000;
  if (s < 120) return `${Math.floor(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} days`;
};

const pad = (n, width) => String(n).padStart(width, '0');

/** A time of day, with milliseconds unless told otherwise, in UTC or the browser's zone. */
export const clock = (msSince1970, utc, withMS = true) => {
  const d = new Date(msSince1970);
  const [h, m, s] = utc ? [d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds()] : [d.getHours(), d.getMinutes(), d.getSeconds()];
  return `${pad(h, 2)}:${pad(m, 2)}:${pad(s, 2)}${withMS ? '.' + pad(d.getUTCMilliseconds(), 3) : ''}`;
};

/** The whole of a time, with its zone and microseconds. */
export const instant = (us, utc) => {
  const d = new Date(us / 1000);
  const offset = utc ? 0 : -d.getTimezoneOffset();
  const shifted = new Date(d.getTime() + offset * 60000).toISOString();
  const sign = offset < 0 ? '-' : '+';
  const zone = offset === 0 ? 'Z' : `${sign}${pad(Math.floor(Math.abs(offset) / 60), 2)}:${pad(Math.abs(offset) % 60, 2)}`;
  return `${shifted.slice(0, 10)} ${shifted.slice(11, 19)}.${pad(us % 1e6, 6)}${zone}`;
};

/** "1 event", "2 events". */
export const plural = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`;

/** A text as a sentence: error texts begin in lower case and end without a stop. */
export const sentence = text => text && text[0].toUpperCase() + text.slice(1) + (/[.!?:]$/.test(text) ? '' : '.');

/** A Postgres LSN as a BigInt; null for anything else. */
export const lsn = text => {
  const m = /^([0-9A-F]+)\/([0-9A-F]+)$/i.exec(text || '');
  return m && (BigInt('0x' + m[1]) << 32n) + BigInt('0x' + m[2]);
};
