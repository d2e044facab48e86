// What a panel shows while it has nothing: what it waits for, and the next step.
import {html} from './html.js';

export const Empty = ({title, busy, testid, children}) => html`
  <div class=${'empty' + (busy ? ' empty-busy' : '')} data-testid=${testid} aria-busy=${busy ? 'true' : null}>
    ${busy && html`<div class="skeleton" aria-hidden="true"><i></i><i></i><i></i></div>`}
    <p class="empty-title">${title}</p>
    ${children && html`<p>${children}</p>`}
  </div>`;
