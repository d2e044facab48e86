// The page's head: what this is, how the whole fares, whether this page is connected, and the settings.
import {html} from './html.js';
import {Icon, State} from './icons.js';
import {age, ms, rate} from './format.js';
import {connection, flow, helpOpen, latency, second, server, shownTheme, silence, theme} from './store.js';
import {connect} from './feed.js';

const THEMES = ['auto', 'light', 'dark'];
const THEME_ICONS = {auto: 'auto', light: 'sun', dark: 'moon'};

/** What stands in the verdict's place: the server's verdict, or that it cannot be known. */
function verdictOf() {
  const {phase} = connection.value;
  if (phase === 'lost' || phase === 'asleep') return {state: 'stale', title: 'Not connected', detail: ''};
  if (!flow.value) return {state: 'initializing', title: 'Connecting', detail: ''};
  if (silence.value) return {state: 'stale', title: 'Silent for ' + age(silence.value), detail: ''};
  return flow.value.verdict;
}

export function Header() {
  const v = verdictOf();
  const live = v.state === 'healthy';
  const q = latency.value?.events;
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
  return html`
    <header class="top">
      <a class="brand" href="/" aria-label="LiveDB, without filters">
        <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true"><rect width="32" height="32" rx="8" fill="var(--accent-solid)"/><path d="M6 17h5l3-8 4 14 3-6h5" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round"/></svg>
        <span>LiveDB</span>
      </a>
      ${server.value && html`<span class="stream-name" title="The stream's name, the prefix of its topics" data-testid="prefix">${server.value.prefix}</span>`}
      <p class=${'verdict verdict-' + v.state} data-testid="verdict" data-state=${v.state}>
        <${State} state=${v.state} label=${false} /><b>${v.title}</b>
        ${live && html`<span class="verdict-numbers"><span data-testid="rate" data-rate=${flow.value.read.events}>${rate(flow.value.read.events)} events/s</span>${q?.count > 0 && html`<span>p99 ${ms(q.p99)}</span>`}</span>`}
      </p>
      <div class="top-tools">
        <${Connection} />
        <button type="button" class="plain icon-button" data-testid="theme" data-theme=${theme.value} title=${`Theme: ${theme.value}`} aria-label=${`Theme: ${theme.value}, shows ${shownTheme.value}. Change to ${next}`} onClick=${() => (theme.value = next)}><${Icon} name=${THEME_ICONS[theme.value]} /></button>
        <button type="button" class="plain icon-button" data-testid="help-open" aria-label="Keys and settings" title="Keys and settings (?)" onClick=${() => (helpOpen.value = true)}><${Icon} name="help" /></button>
      </div>
    </header>`;
}

const WORDS = {connecting: 'connecting', live: 'live', lost: 'reconnecting', asleep: 'asleep'};

function Connection() {
  const c = connection.value;
  const state = silence.value ? 'stale' : c.phase;
  second.value; // the countdown moves
  const left = Math.max(0, Math.ceil((c.retryAt - Date.now()) / 1000));
  const words = silence.value ? `stale ${age(silence.value)}` : WORDS[c.phase] + (c.phase === 'lost' && left > 0 ? ` in ${left} s` : '');
  return html`
    <p class=${'connection connection-' + state} data-testid="connection" data-phase=${state}><i aria-hidden="true"></i>${words}</p>`;
}

/** What needs a reader's attention, below the head: the verdict's detail and the next step. */
export function Banner() {
  const c = connection.value;
  if (c.phase === 'lost') {
    return html`
      <div class="banner banner-error" role="alert" data-testid="banner">
        <${State} state="stale" label=${false} />
        <p><b>The dashboard's server does not answer.</b> What you see stays as it was; events meanwhile are counted when it is back.</p>
        <button type="button" data-testid="retry" onClick=${connect}>Try now</button>
      </div>`;
  }
  const v = flow.value?.verdict;
  if (!v || v.state === 'healthy' || !(v.detail || v.remedy)) return null;
  const [before, command] = (v.remedy || '').split(/(?=livedb )/);
  return html`
    <div class=${'banner banner-' + v.state} data-testid="banner">
      <${State} state=${v.state} label=${false} />
      <p><b>${v.title}.</b> ${v.detail} ${before}${command && html`<code>${command}</code>`}</p>
    </div>`;
}
