// The way of the data: nodes laid out by hand, edges drawn between them. Width tells the rate, colour and shape the
// health, and what moves along an edge stops when nothing flows.
import {useEffect, useRef, useState} from 'preact/hooks';
import {html} from './html.js';
import {Icon, State, stateName} from './icons.js';
import {bottleneck, edgesOf, nodesOf} from './stages.js';
import {connection, flow, latency, openNode, silence} from './store.js';
import {Inspector} from './inspect.js';
import {Empty} from './empty.js';

const NARROW = 880;

// Places of the nodes, in pixels: one row with an arc below, or one column with an arc at the right.
function layout(width) {
  if (width < NARROW) {
    const height = 46;
    const gap = 30;
    return {narrow: true, width, height: 6 * height + 5 * gap, node: i => ({x: 0, y: i * (height + gap), w: width - 34, h: height})};
  }
  const w = Math.min(164, Math.floor((width - 5 * 58) / 6));
  const gap = (width - 6 * w) / 5;
  return {narrow: false, tight: w < 128, width, height: 128, node: i => ({x: Math.round(i * (w + gap)), y: 0, w, h: 84})};
}

const strokeWidth = rate => (rate > 0 ? Math.min(5, 1 + .8 * Math.log10(1 + rate)) : 1.25);
const seconds = rate => (rate > 2000 ? 1 : rate > 200 ? 1.5 : rate > 20 ? 2.2 : 3.2);

const TIP = 7; // length of an arrow's head

// An arrow's head at (x, y), pointing along (dx, dy).
const head = ([x, y, dx, dy]) => `M${x} ${y}L${x - TIP * dx + 4.5 * dy} ${y - TIP * dy + 4.5 * dx}L${x - TIP * dx - 4.5 * dy} ${y - TIP * dy - 4.5 * dx}Z`;

// The line of an edge, its head and the place of its words.
function pathOf(edge, a, b, narrow) {
  const arc = edge.id === 'tail';
  if (narrow && arc) {
    const x = a.w + 22;
    const [y1, y2] = [a.y + a.h / 2, b.y + b.h / 2];
    return {d: `M${a.w} ${y1}H${x - 8}q8 0 8 8V${y2 - 8}q0 8 -8 8H${b.w + TIP}`, at: {x: x - 12, y: (y1 + y2) / 2}, tip: [b.w, y2, -1, 0], arc};
  }
  if (narrow) {
    const x = 23;
    return {d: `M${x} ${a.y + a.h}V${b.y - TIP}`, tip: [x, b.y, 0, 1], at: {x: x + 14, y: (a.y + a.h + b.y) / 2}, from: {x, y: a.y + a.h}, run: b.y - a.y - a.h};
  }
  if (arc) {
    const [x1, x2, y, low] = [a.x + a.w / 2, b.x + b.w / 2, a.h, 112];
    return {d: `M${x1} ${y}V${low - 10}q0 10 10 10H${x2 - 10}q10 0 10 -10V${y + TIP}`, at: {x: (x1 + x2) / 2, y: low}, tip: [x2, y, 0, -1], arc};
  }
  const y = a.y + 42;
  return {d: `M${a.x + a.w} ${y}H${b.x - TIP}`, tip: [b.x, y, 1, 0], at: {x: (a.x + a.w + b.x) / 2, y}, from: {x: a.x + a.w, y}, run: b.x - a.x - a.w};
}

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
  const hold = flow.value && bottleneck(flow.value, latency.value);
  return html`
    <section class="panel panel-topology" aria-labelledby="topology-title" data-testid="topology">
      <header>
        <h2 id="topology-title">Pipeline</h2>
        ${hold && html`<p class="caution" data-testid="bottleneck">${hold}</p>`}
      </header>
      <div class="topology"><div ref=${box}>
        ${flow.value ? width > 0 && html`<${Drawing} width=${width} />` : html`<${Empty} busy title="Connecting to the dashboard" />`}
      </div></div>
      <${Inspector} />
    </section>`;
}

function Drawing({width}) {
  const page = connection.value.phase === 'lost' ? 'error' : silence.value ? 'stale' : 'healthy';
  const nodes = nodesOf(flow.value, latency.value, page);
  const edges = edgesOf(flow.value);
  const plan = layout(width);
  const box = Object.fromEntries(nodes.map((n, i) => [n.id, plan.node(i)]));
  const paths = edges.map(e => ({...e, ...pathOf(e, box[e.from], box[e.to], plan.narrow)}));
  return html`
    <div class=${'drawing' + (plan.narrow ? ' drawing-narrow' : plan.tight ? ' drawing-tight' : '')} style=${{height: plan.height + 'px'}}>
      <svg width=${plan.width} height=${plan.height} aria-hidden="true">
        ${paths.map(e => html`<path key=${e.id} class=${`edge edge-${e.rate > 0 ? e.state : 'quiet'}`} d=${e.d} stroke-width=${strokeWidth(e.rate)} />
          <path key=${e.id + '-head'} class=${`edge-head edge-head-${e.rate > 0 ? e.state : 'quiet'}`} d=${head(e.tip)} />`)}
      </svg>
      ${paths.map(e => html`<${Edge} key=${e.id} edge=${e} narrow=${plan.narrow} />`)}
      ${nodes.map(n => html`<${Node} key=${n.id} node=${n} place=${box[n.id]} narrow=${plan.narrow} />`)}
    </div>`;
}

const place = ({x, y, w, h}) => ({left: x + 'px', top: y + 'px', width: w + 'px', height: h + 'px'});

function Edge({edge, narrow}) {
  const moving = edge.rate > 0 && edge.from?.x != null;
  return html`
    ${moving && [0, 1, 2].map(i => html`<i key=${i} class=${`drop ${narrow ? 'drop-down' : 'drop-across'}`} style=${{
      left: edge.from.x + 'px', top: edge.from.y + 'px', '--run': edge.run + 'px',
      animationDuration: seconds(edge.rate) + 's', animationDelay: -(i * seconds(edge.rate)) / 3 + 's',
    }}></i>`)}
    <p class=${'edge-words' + (edge.arc ? ' edge-words-arc' : '')} style=${{left: edge.at.x + 'px', top: edge.at.y + 'px'}} title=${edge.more || ''} data-testid=${'edge-' + edge.id} data-rate=${edge.rate}>
      <b>${edge.main}</b> <span>${edge.unit}</span>${edge.arc && !narrow && html` <span class="edge-more">${edge.more}</span>`}
    </p>`;
}

function Node({node, place: at, narrow}) {
  const open = openNode.value === node.id;
  return html`
    <button type="button" class=${`node node-${node.state}`} style=${place(at)} data-testid=${'node-' + node.id} data-state=${node.state}
      aria-expanded=${open} aria-controls="inspector" onClick=${() => (openNode.value = open ? '' : node.id)}>
      <span class="node-head"><${Icon} name=${node.icon} /><span class="node-title">${node.title}</span><${State} state=${node.state} label=${false} /></span>
      <span class="hidden">${stateName(node.state)}</span>
      ${node.detail && node.state !== 'healthy'
        ? html`<span class="node-line node-detail" title=${node.detail}>${node.detail}</span>`
        : node.lines.slice(0, narrow ? 1 : 2).map(line => html`<span class="node-line" key=${line} title=${line}>${line}</span>`)}
    </button>`;
}
