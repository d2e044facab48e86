// Small drawings. Health is told by shape as well as by colour.
import {html} from './html.js';

const ring = (d, width, dashes) => html`
  <path d=${d} fill="none" stroke="currentColor" stroke-width=${width} stroke-dasharray=${dashes} stroke-linecap="round" />`;
const solid = d => html`<path d=${d} fill="currentColor" />`;
const CIRCLE = 'M6 1.75a4.25 4.25 0 1 1 0 8.5 4.25 4.25 0 0 1 0-8.5Z';

const SHAPES = {
  healthy: solid('M6 1.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9Z'),
  idle: ring(CIRCLE, 1.5),
  initializing: ring('M6 1.5a4.5 4.5 0 1 1-4.5 4.5', 1.75),
  warning: solid('M6 1.2 11.2 10.6H.8Z'),
  error: html`
    ${solid('M3.6 1h4.8L11 3.6v4.8L8.4 11H3.6L1 8.4V3.6Z')}
    <path d="m4.3 4.3 3.4 3.4m0-3.4L4.3 7.7" stroke="var(--panel)" stroke-width="1.3" stroke-linecap="round" />`,
  stale: html`${ring(CIRCLE, 1.5, '1.6 2.2')}${ring('M6 3.6V6l1.6 1', 1.2)}`,
  missing: ring(CIRCLE, 1.3, '1.2 2.2'),
};

const STATE_NAMES = {initializing: 'starting', warning: 'needs attention', error: 'stopped', stale: 'silent', missing: 'not seen'};

/** The word for a state, as a person says it. */
export const stateName = state => STATE_NAMES[state] || state;

/** The glyph of a state; the word beside it, or its label, tells the same. */
export const State = ({state, label = true}) => html`
  <svg class=${'state state-' + state} viewBox="0 0 12 12" width="12" height="12" role=${label ? 'img' : null}
    aria-label=${label ? stateName(state) : null} aria-hidden=${label ? null : 'true'}>
    ${SHAPES[state] || SHAPES.missing}
  </svg>`;

/** The product's mark. */
export const Logo = () => html`
  <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="var(--accent-solid)" />
    <path d="M6 17h5l3-8 4 14 3-6h5" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round" />
  </svg>`;

const line = d => html`
  <path d=${d} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />`;

const PICTURES = {
  burst: line('M8.5 1.5 3 9h4l-.5 5.5L13 7H8.5Z'),
  postgres: line('M2.5 4c0-1.4 2.5-2.5 5.5-2.5s5.5 1.1 5.5 2.5-2.5 2.5-5.5 2.5S2.5 5.4 2.5 4Z'
    + 'm0 0v8c0 1.4 2.5 2.5 5.5 2.5s5.5-1.1 5.5-2.5V4m-11 4c0 1.4 2.5 2.5 5.5 2.5s5.5-1.1 5.5-2.5'),
  cdc: line('M1.5 8h3l2-5 3 10 2-5h3'),
  kafka: line('M2 3.5h9M2 8h12M2 12.5h7M13 3.5h1M11 12.5h3'),
  process: line('M2 3h12L9.5 8.6v4.9l-3-1.6V8.6Z'),
  page: line('M2 2.5h12v11H2ZM2 6h12M5 9v2m3-3v3m3-1.5v1.5'),
  pause: line('M5.5 3.5v9m5-9v9'),
  play: solid('M5 3.2v9.6L12.5 8Z'),
  sun: line('M8 5.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6ZM8 1.2v1.4m0 10.8v1.4'
    + 'M1.2 8h1.4m10.8 0h1.4M3.2 3.2l1 1m7.6 7.6 1 1m0-9.6-1 1m-7.6 7.6-1 1'),
  moon: line('M13.5 9.6A6 6 0 1 1 6.4 2.5a4.8 4.8 0 0 0 7.1 7.1Z'),
  auto: html`${line('M8 2.2a5.8 5.8 0 1 1 0 11.6A5.8 5.8 0 0 1 8 2.2Z')}${solid('M8 2.2a5.8 5.8 0 0 1 0 11.6Z')}`,
  help: line('M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4Z'
    + 'M6.2 6.3c0-1 .8-1.8 1.8-1.8s1.8.8 1.8 1.7c0 1.2-1.8 1.5-1.8 2.7m0 2.3v.1'),
  close: line('m4 4 8 8m0-8-8 8'),
  copy: line('M5.5 5.5h8v8h-8ZM10.5 5.5v-3h-8v8h3'),
  link: line('M6.5 9.5a2.5 2.5 0 0 0 3.6 0l2.6-2.6a2.5 2.5 0 0 0-3.6-3.6L8 4.4'
    + 'm1.5 2.1a2.5 2.5 0 0 0-3.6 0L3.3 9.1a2.5 2.5 0 0 0 3.6 3.6L8 11.6'),
  up: line('M8 13V3m-4 4 4-4 4 4'),
  search: line('M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14'),
};

/** A small picture, beside a word that says the same. */
export const Icon = ({name, size = 16}) => html`
  <svg class="icon" viewBox="0 0 16 16" width=${size} height=${size} aria-hidden="true">${PICTURES[name]}</svg>`;
