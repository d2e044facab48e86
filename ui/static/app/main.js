// The page: its parts and their places. store.js holds what they show, feed.js brings it.
import {render} from 'preact';
import {useEffect, useState} from 'preact/hooks';
import {effect} from '@preact/signals';
import {html} from './html.js';
import {Banner, Header} from './header.js';
import {Topology} from './topology.js';
import {Tail} from './tail.js';
import {Throughput} from './throughput.js';
import {Latency} from './latency.js';
import {View} from './view.js';
import {Help} from './help.js';
import {listen} from './keys.js';
import {start} from './feed.js';
import {ms, rate, short} from './format.js';
import {connection, flow, latency, lostEvent, note, selected, server, wanted} from './store.js';

function App() {
  return html`
    <${Header} />
    <main>
      <h1 class="hidden">LiveDB dashboard</h1>
      <${Banner} />
      <${Topology} />
      <div class="columns">
        <${Tail} />
        <div class="charts">
          <${Throughput} />
          <${Latency} />
          <${View} />
        </div>
      </div>
    </main>
    <footer class="foot">
      <span>LiveDB ${server.value?.version}</span>
      <a href="/readyz?verbose">health</a><a href="/metrics">metrics</a><a href="/openapi.json">API</a>
      <${Thinned} />
    </footer>
    <${Help} />
    <p class=${'note' + (note.value ? ' note-shown' : '')} role="status" data-testid="note">${note.value}</p>
    <${Summary} />`;
}

const Thinned = () => flow.value?.dropped > 0 && html`
  <span title="Events not sent to slow pages, or above the rate a page is sent" data-testid="thinned">
    ${short(flow.value.dropped)} events thinned out
  </span>`;

const SUMMARY_EVERY = 10000;

// For those who do not see the page: one sentence now and then, not each event.
function Summary() {
  const [text, setText] = useState('');
  useEffect(() => {
    const say = () => {
      const f = flow.peek();
      if (!f || connection.peek().phase !== 'live') return setText('Not connected to the dashboard.');
      const q = latency.peek()?.events;
      const within = q?.count > 0 ? `, 99 of 100 transactions arrive within ${ms(q.p99)}` : '';
      setText(`${f.verdict.title}. ${rate(f.read.events)} events a second${within}.`);
    };
    const timer = setInterval(say, SUMMARY_EVERY);
    return () => clearInterval(timer);
  }, []);
  return html`<p class="hidden" aria-live="polite" data-testid="summary">${text}</p>`;
}

// The event that the address names is asked for once: it may still be held.
async function openWanted() {
  if (!wanted) return;
  const [epoch, position] = wanted.split('@');
  try {
    const answer = await fetch('/api/v1/tail?limit=50&q=' + encodeURIComponent(position || ''));
    const {rows} = await answer.json();
    const row = rows.find(r => r.pos === position && String(r.epoch) === epoch);
    if (row) selected.value = row;
    else lostEvent.value = wanted;
  } catch {
    lostEvent.value = wanted;
  }
}

effect(() => {
  const live = connection.value.phase === 'live' && flow.value;
  const title = live && flow.value.read.events > 0 ? `${rate(flow.value.read.events)}/s · LiveDB` : 'LiveDB';
  if (document.title !== title) document.title = title;
});

render(html`<${App} />`, document.getElementById('app'));
listen();
start();
openWanted();
