// The page's head: what this is, how the whole fares, whether this page is connected, and the settings.
import {html} from './html.js';
import {Icon, Logo, State} from './icons.js';
import {age, ms, rate, sentence} from './format.js';
import {connection, flow, latency, second, server, shownTheme, silence, theme} from './store.js';
import {connect} from './feed.js';
import {openHelp} from './help.js';

const THEMES = ['auto', 'light', 'dark'];
const THEME_ICONS = {auto: 'auto', light: 'sun', dark: 'moon'};

export const Header = () => html`
  <header class="top">
    <a class="brand" href="/" aria-label="LiveDB, without filters" data-testid="home"><${Logo} /><span>LiveDB</span></a>
    ${server.value && html`
      <span class="stream-name" title="The stream's name, the prefix of its topics" data-testid="prefix">
        ${server.value.prefix}
      </span>`}
    <${Verdict} />
    <div class="top-tools">
      <${Connection} />
      <${Theme} />
      <button type="button" class="plain icon-button" data-testid="help-open" aria-label="Keys and settings"
        title="Keys and settings (?)" onClick=${openHelp}>
        <${Icon} name="help" />
      </button>
    </div>
  </header>`;

// The server's verdict, or that there is none.
function verdictOf() {
  const {phase} = connection.value;
  if (phase === 'lost' || phase === 'asleep') return {state: 'stale', title: 'Not connected'};
  if (!flow.value) return {state: 'initializing', title: 'Connecting'};
  if (silence.value) return {state: 'stale', title: 'Silent for ' + age(silence.value)};
  return flow.value.verdict;
}

function Verdict() {
  const {state, title} = verdictOf();
  return html`
    <p class=${'verdict verdict-' + state} data-testid="verdict" data-state=${state}>
      <${State} state=${state} label=${false} /><b>${title}</b>
      ${state === 'healthy' && html`<${Numbers} />`}
      <${Audited} />
    </p>`;
}

// How far the audit has come, if one follows the stream and found nothing; what it found is the verdict.
function Audited() {
  const audit = flow.value?.stages.audit;
  if (audit?.state !== 'healthy') return null;
  return html`
    <span class="verdict-numbers" data-testid="audited" title=${'No fault up to the commit at ' + audit.texts.verified_lsn}>
      <span>proven to seq ${audit.numbers.seq}</span>
    </span>`;
}

function Numbers() {
  const {events} = flow.value.read;
  const q = latency.value?.events;
  return html`
    <span class="verdict-numbers">
      <span data-testid="rate" data-rate=${events}>${rate(events)} events/s</span>
      ${q?.count > 0 && html`<span>p99 ${ms(q.p99)}</span>`}
    </span>`;
}

const WORDS = {connecting: 'connecting', live: 'live', lost: 'reconnecting', asleep: 'asleep'};

function Connection() {
  const {phase, retryAt} = connection.value;
  second.value; // the countdown moves
  const left = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  const state = silence.value ? 'stale' : phase;
  let words = WORDS[phase];
  if (silence.value) words = `stale ${age(silence.value)}`;
  else if (phase === 'lost' && left > 0) words += ` in ${left} s`;
  return html`
    <p class=${'connection connection-' + state} data-testid="connection" data-phase=${state}>
      <i aria-hidden="true"></i>${words}
    </p>`;
}

function Theme() {
  const now = theme.value;
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  return html`
    <button type="button" class="plain icon-button" data-testid="theme" data-theme=${now} title=${`Theme: ${now}`}
      aria-label=${`Theme: ${now}, shows ${shownTheme.value}. Change to ${next}`} onClick=${() => (theme.value = next)}>
      <${Icon} name=${THEME_ICONS[now]} />
    </button>`;
}

/** What needs a reader's attention, below the head: the verdict's detail and the next step. */
export function Banner() {
  if (connection.value.phase === 'lost') return html`<${Lost} />`;
  const v = flow.value?.verdict;
  if (!v || v.state === 'healthy' || !(v.detail || v.remedy)) return null;
  const [before, command] = v.remedy.split(/(?=livedb )/);
  return html`
    <div class=${'banner banner-' + v.state} data-testid="banner">
      <${State} state=${v.state} label=${false} />
      <p><b>${v.title}.</b> ${sentence(v.detail)} ${before}${command && html`<code>${command}</code>`}</p>
    </div>`;
}

const Lost = () => html`
  <div class="banner banner-error" role="alert" data-testid="banner">
    <${State} state="stale" label=${false} />
    <p>
      <b>The dashboard's server does not answer.</b>${' '}
      What you see stays as it was; events meanwhile are counted when it is back.
    </p>
    <button type="button" data-testid="retry" onClick=${connect}>Try now</button>
  </div>`;
