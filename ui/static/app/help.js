// Keys and settings.
import {useEffect, useRef} from 'preact/hooks';
import {html} from './html.js';
import {Choice} from './chart.js';
import {Icon} from './icons.js';
import {helpOpen, shortcuts, theme, zone} from './store.js';

const KEYS = [
  ['/', 'search the tail'], ['Space', 'pause, resume'], ['L', 'jump to live'], ['J  K', 'next, previous event'], ['Enter', 'open the event'],
  ['C', 'copy the open event as JSON'], ['Esc', 'close; clear the search'], ['G T', 'go to the pipeline'], ['G L', 'go to the live tail'], ['G V', 'go to the view'], ['?', 'this help'],
];

export function Help() {
  const dialog = useRef(null);
  useEffect(() => {
    if (helpOpen.value && !dialog.current.open) dialog.current.showModal();
    if (!helpOpen.value && dialog.current.open) dialog.current.close();
  }, [helpOpen.value]);
  const outside = event => event.target === dialog.current && (helpOpen.value = false);
  return html`
    <dialog ref=${dialog} class="help" aria-labelledby="help-title" data-testid="help" onClose=${() => (helpOpen.value = false)} onClick=${outside}>
      <div class="help-body">
        <header>
          <h2 id="help-title">Keys and settings</h2>
          <button type="button" class="plain icon-button" aria-label="Close" data-testid="help-close" onClick=${() => (helpOpen.value = false)}><${Icon} name="close" /></button>
        </header>
        <dl class="keys">${KEYS.map(([keys, what]) => html`<div key=${keys}><dt>${keys.split(/\s+/).map(k => html`<kbd key=${k}>${k}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
        <div class="settings">
          <div><span>Keys</span><${Choice} label="Keys" value=${shortcuts.value} options=${[['on', 'On'], ['off', 'Off']]} onChange=${v => (shortcuts.value = v)} testid="shortcuts" /></div>
          <div><span>Times</span><${Choice} label="Times" value=${zone.value} options=${[['local', 'Local'], ['utc', 'UTC']]} onChange=${v => (zone.value = v)} testid="zone" /></div>
          <div><span>Theme</span><${Choice} label="Theme" value=${theme.value} options=${[['auto', 'Auto'], ['light', 'Light'], ['dark', 'Dark']]} onChange=${v => (theme.value = v)} testid="theme-choice" /></div>
        </div>
        <p class="muted">The same data, for scripts: <a href="/api/v1/status">status</a>, <a href="/api/v1/tail?limit=20">tail</a>, <a href="/api/v1/view/orders">view</a>, <a href="/metrics">metrics</a>, <a href="/openapi.json">OpenAPI</a>. Letters are those of Debezium: <b>c</b> insert, <b>u</b> update, <b>d</b> delete, <b>r</b> read by the snapshot, <b>t</b> truncate, <b>m</b> message.</p>
      </div>
    </dialog>`;
}
