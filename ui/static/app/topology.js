// The way of the data: nodes laid out by hand, edges drawn between them. Width tells the rate, colour and shape the
// health, and what moves along an edge stops when nothing flows.
import {useEffect, useRef, useState} from 'preact/hooks';
import {html} from './html.js';
import {Icon, State, stateName} from './icons.js';
import {rate} from './format.js';
import {bottleneck, edgesOf, nodesOf} from './stages.js';
import {connection, flow, latency, openNode, silence} from './store.js';
import {Inspector} from './inspect.js';
import {Empty} from './empty.js';

const NODES = 6;
const NARROW = 880; // pixels, below which the nodes stand in a column
const TIP = 7; // length of an arrow's head

// Places of the nodes, in pixels: one row with an arc below, or one column with an arc at the right.
function layout(width) {
  if (width < NARROW) {
    const [h, gap] = [46, 30];
    return {narrow: true, width, height: NODES * h + (NODES - 1) * gap, node: i => ({x: 0, y: i * (h + gap), w: width - 34, h})};
  }
  const w = Math.min(164, Math.floor((width - (NODES - 1) * 58) / NODES));
  const gap = (width - NODES * w) / (NODES - 1);
  return {tight: w < 128, width, height: 128, node: i => ({x: Math.round(i * (w + gap)), y: 0, w, h: 84})};
}

// An edge's line {d}, its head {tip: [x, y, dx, dy]}, the place of its words {at}, and for a straight one {from, run}.
const draw = (edge, a, b, narrow) => (edge.id === 'tail' ? arc : straight)[narrow ? 'down' : 'across'](a, b);

const straight = {
  across(a, b) {
    const [x, y] = [a.x + a.w, a.y + a.h / 2];
    return {d: `M${x} ${y}H${b.x - TIP}`, tip: [b.x, y, 1, 0], at: {x: (x + b.x) / 2, y}, from: {x, y}, run: b.x - x};
  },
  down(a, b) {
    const [x, y] = [23, a.y + a.h];
    return {d: `M${x} ${y}V${b.y - TIP}`, tip: [x, b.y, 0, 1], at: {x: x + 14, y: (y + b.y) / 2}, from: {x, y}, run: b.y - y};
  },
};

const arc = {
  across(a, b) {
    const [x1, x2, y, low] = [a.x + a.w / 2, b.x + b.w / 2, a.h, 112];
    const d = `M${x1} ${y}V${low - 10}q0 10 10 10H${x2 - 10}q10 0 10 -10V${y + TIP}`;
    return {d, tip: [x2, y, 0, -1], at: {x: (x1 + x2) / 2, y: low}, arc: true};
  },
  down(a, b) {
    const [x, y1, y2] = [a.w + 22, a.y + a.h / 2, b.y + b.h / 2];
    const d = `M${a.w} ${y1}H${x - 8}q8 0 8 8V${y2 - 8}q0 8 -8 8H${b.w + TIP}`;
    return {d, tip: [b.w, y2, -1, 0], at: {x: x - 12, y: (y1 + y2) / 2}, arc: true};
  },
};

// An arrow's head at (x, y), pointing along (dx, dy).
function head([x, y, dx, dy]) {
  const [bx, by, half] = [x - TIP * dx, y - TIP * dy, 4.5];
  return `M${x} ${y}L${bx + half * dy} ${by + half * dx}L${bx - half * dy} ${by - half * dx}Z`;
}

const strokeWidth = value => (value > 0 ? Math.min(5, 1 + .8 * Math.log10(1 + value)) : 1.25);

// How long a drop takes along an edge.
const seconds = value => (value > 2000 ? 1 : value > 200 ? 1.5 : value > 20 ? 2.2 : 3.2);

export function Topology() {
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const measure = () => box.current && setWidth(box.current.clientWidth);
    const watch = new ResizeObserver(measure);
    watch.observe(box.current);
    measure();
    return () => watch.disconnect();
  }, []);
  const caution = flow.value && bottleneck(flow.value, latency.value);
  return html`
    <section class="panel panel-topology" aria-labelledby="topology-title" data-testid="topology">
      <header>
        <h2 id="topology-title">Pipeline</h2>
        ${caution && html`<p class="caution" data-testid="bottleneck">${caution}</p>`}
      </header>
      <div class="topology">
        <div ref=${box}>
          ${!flow.value && html`<${Empty} busy title="Connecting to the dashboard" />`}
          ${flow.value && width > 0 && html`<${Drawing} width=${width} />`}
        </div>
      </div>
      <${Inspector} />
    </section>`;
}

function Drawing({width}) {
  const page = connection.value.phase === 'lost' ? 'error' : silence.value ? 'stale' : 'healthy';
  const plan = layout(width);
  const nodes = nodesOf(flow.value, latency.value, page).map((node, i) => ({...node, place: plan.node(i)}));
  const place = id => nodes.find(node => node.id === id).place;
  const edges = edgesOf(flow.value).map(edge => {
    const health = edge.value > 0 ? edge.state : 'quiet';
    return {...edge, health, ...draw(edge, place(edge.from), place(edge.to), plan.narrow)};
  });
  const kind = plan.narrow ? ' drawing-narrow' : plan.tight ? ' drawing-tight' : '';
  return html`
    <div class=${'drawing' + kind} style=${{height: plan.height + 'px'}}>
      <svg width=${plan.width} height=${plan.height} aria-hidden="true">
        ${edges.map(e => html`
          <path key=${e.id} class=${`edge edge-${e.health}`} d=${e.d} stroke-width=${strokeWidth(e.value)} />
          <path key=${e.id + '-head'} class=${`edge-head edge-head-${e.health}`} d=${head(e.tip)} />`)}
      </svg>
      ${edges.map(e => html`<${Drops} key=${e.id + '-drops'} edge=${e} narrow=${plan.narrow} />`)}
      ${edges.map(e => html`<${Words} key=${e.id} edge=${e} roomy=${!plan.narrow && !plan.tight} />`)}
      ${nodes.map(n => html`<${Node} key=${n.id} node=${n} most=${plan.narrow ? 1 : 2} />`)}
    </div>`;
}

const px = n => `${n}px`;

// What moves along a straight edge. The browser's compositor moves it: it costs the page nothing.
function Drops({edge, narrow}) {
  if (!(edge.value > 0) || edge.arc) return null;
  const time = seconds(edge.value);
  return [0, 1, 2].map(i => html`
    <i key=${i} class=${`drop ${narrow ? 'drop-down' : 'drop-across'}`} style=${{
      left: px(edge.from.x), top: px(edge.from.y), '--run': px(edge.run),
      animationDuration: `${time}s`, animationDelay: `${(-i * time) / 3}s`,
    }}></i>`);
}

const Words = ({edge, roomy}) => html`
  <p class=${'edge-words' + (edge.arc ? ' edge-words-arc' : '')} style=${{left: px(edge.at.x), top: px(edge.at.y)}}
    title=${edge.note} data-testid=${'edge-' + edge.id} data-rate=${edge.value || 0}>
    <b>${rate(edge.value)}</b>
    <span>${edge.unit}</span>
    ${roomy && edge.more && html`<span class="edge-more">${edge.more}</span>`}
  </p>`;

function Node({node, most}) {
  const open = openNode.value === node.id;
  const {x, y, w, h} = node.place;
  const trouble = node.detail && node.state !== 'healthy';
  return html`
    <button type="button" class=${`node node-${node.state}`} data-testid=${'node-' + node.id} data-state=${node.state}
      style=${{left: px(x), top: px(y), width: px(w), height: px(h)}} aria-expanded=${open} aria-controls="inspector"
      onClick=${() => (openNode.value = open ? '' : node.id)}>
      <span class="node-head">
        <${Icon} name=${node.icon} /><span class="node-title">${node.title}</span><${State} state=${node.state} label=${false} />
      </span>
      <span class="hidden">${stateName(node.state)}</span>
      ${trouble && html`<span class="node-line node-detail" title=${node.detail}>${node.detail}</span>`}
      ${!trouble && node.lines.slice(0, most).map(line => html`<span class="node-line" key=${line} title=${line}>${line}</span>`)}
    </button>`;
}
