// Keys and settings.
import {html} from './html.js';
import {Choice} from './chart.js';
import {OPS} from './filter.js';
import {Icon} from './icons.js';
import {shortcuts, theme, zone} from './store.js';

const KEYS = [
  ['/', 'search the tail'],
  ['Space', 'pause, resume'],
  ['L', 'jump to live'],
  ['J K', 'next, previous event'],
  ['Enter', 'open the event'],
  ['C', 'copy the open event'],
  ['Esc', 'close; clear the search'],
  ['G T', 'go to the pipeline'],
  ['G L', 'go to the live tail'],
  ['G V', 'go to the view'],
  ['?', 'this help'],
];

const SETTINGS = [
  ['Keys', shortcuts, [['on', 'On'], ['off', 'Off']], 'shortcuts'],
  ['Times', zone, [['local', 'Local'], ['utc', 'UTC']], 'zone'],
  ['Theme', theme, [['auto', 'Auto'], ['light', 'Light'], ['dark', 'Dark']], 'theme-choice'],
];

const LINKS = [
  ['status', '/api/v1/status'],
  ['tail', '/api/v1/tail?limit=20'],
  ['view', '/api/v1/view/orders'],
  ['metrics', '/metrics'],
  ['OpenAPI', '/openapi.json'],
];

// Whether it is open, the dialog itself knows, and nobody else.
const dialog = () => document.getElementById('help');
const close = () => dialog().close();
export const openHelp = () => dialog().showModal();

export function Help() {
  const outside = event => event.target === event.currentTarget && close();
  return html`
    <dialog class="help" id="help" aria-labelledby="help-title" data-testid="help" onClick=${outside}>
      <div class="help-body">
        <header>
          <h2 id="help-title">Keys and settings</h2>
          <button type="button" class="plain icon-button" aria-label="Close" data-testid="help-close" onClick=${close}>
            <${Icon} name="close" />
          </button>
        </header>
        <dl class="keys">${KEYS.map(([keys, what]) => html`<${Key} key=${keys} keys=${keys.split(' ')} what=${what} />`)}</dl>
        <div class="settings">
          ${SETTINGS.map(([name, setting, options, testid]) => html`
            <div key=${name}>
              <span>${name}</span>
              <${Choice} label=${name} value=${setting.value} options=${options} onChange=${v => (setting.value = v)}
                testid=${testid} />
            </div>`)}
        </div>
        <ul class="letters" aria-label="Operations, by Debezium's letters">
          ${OPS.map(([op, name]) => html`<li key=${op}><span class=${`op op-${op}`}>${op}</span>${name}</li>`)}
        </ul>
        <p class="muted">For scripts: ${LINKS.map(([name, href]) => html`<a key=${name} href=${href}>${name}</a> `)}</p>
      </div>
    </dialog>`;
}

const Key = ({keys, what}) => html`
  <div><dt>${keys.map(key => html`<kbd key=${key}>${key}</kbd>`)}</dt><dd>${what}</dd></div>`;
