// A row before and after, column by column.
import {html} from './html.js';
import {bytes, count} from './format.js';
import {diff, middle, show, states} from './row.js';

const CHANGES = {changed: 'changed', unchanged: 'not logged'}; // said to those who do not see the mark

export function Columns({row}) {
  const {before, after} = states(row);
  if (!before && !after) return html`<p class="muted">This event carries no row.</p>`;
  const both = before && after;
  const more = (after || before).$more;
  return html`
    ${row.op === 'u' && !before && html`<${NoBefore} table=${row.table} />`}
    <table class="diff" data-testid="diff">
      <thead>
        <tr>
          <th scope="col">Column</th>
          ${both
            ? html`<th scope="col">Before</th><th scope="col">After</th>`
            : html`<th scope="col">${after ? 'Row' : 'Row that was deleted'}</th>`}
        </tr>
      </thead>
      <tbody>
        ${diff(row).map(column => html`<${Column} key=${column.name} column=${column} both=${both} />`)}
        ${more && html`
          <tr>
            <th scope="row" class="muted">${count(more)} more columns</th>
            <td colspan="2" class="muted">in the record in Kafka</td>
          </tr>`}
      </tbody>
    </table>`;
}

const NoBefore = ({table}) => html`
  <p class="muted">
    The earlier row was not logged. For before and after: <code>ALTER TABLE ${table} REPLICA IDENTITY FULL</code>
  </p>`;

const Column = ({column, both}) => html`
  <tr class=${'diff-' + column.change} data-testid="column" data-name=${column.name} data-change=${column.change}>
    <th scope="row">
      ${column.name}${CHANGES[column.change] && html`<span class="hidden">, ${CHANGES[column.change]}</span>`}
    </th>
    ${both
      ? html`<${Pair} column=${column} />`
      : html`<td><${Value} value=${column.change === 'removed' ? column.before : column.after} /></td>`}
  </tr>`;

// Long texts that share most of themselves are marked only where they differ.
function Pair({column}) {
  const changed = column.change === 'changed';
  const [old, now] = [show(column.before), show(column.after)];
  if (changed && old.kind === 'value' && now.kind === 'value' && old.text.length + now.text.length > 12) {
    const [head, was, is, tail] = middle(old.text, now.text);
    if (head.length + tail.length > 3) {
      return html`<td>${head}<del>${was}</del>${tail}</td><td>${head}<ins>${is}</ins>${tail}</td>`;
    }
  }
  return html`
    <td><${Value} value=${column.before} mark=${changed && 'del'} /></td>
    <td><${Value} value=${column.after} mark=${changed && 'ins'} /></td>`;
}

const NOTES = {
  unchanged: 'unchanged: a large value the update did not touch, so Postgres did not log it (TOAST)',
  null: 'null: no value',
  empty: 'an empty text, which is not null',
  absent: 'not in the event',
};

function Value({value, mark}) {
  const v = show(value);
  const word = html`
    <span class=${'value value-' + v.kind} title=${NOTES[v.kind]} data-kind=${v.kind}>
      ${v.kind === 'absent' ? '–' : v.text}${v.kind === 'cut' && html`<span class="cut">… ${bytes(v.bytes)} in all</span>`}
    </span>`;
  if (mark === 'del') return html`<del>${word}</del>`;
  return mark === 'ins' ? html`<ins>${word}</ins>` : word;
}
