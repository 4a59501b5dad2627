// The map in the browser. Plotly draws the dots and handles zoom; labels, arrows and rings lie above it as plain HTML
// and SVG, and the whole graph beneath it on a canvas, which is many times faster than redrawing the figure and takes
// its colours from CSS in light and dark. What lies under the pointer is found from the positions of the dots, so that
// nothing above the figure needs to catch events (which would break panning) and a dot can be picked while it moves.
// Gradio's base is the page's own folder, as without one; with one Plotly names its clip paths by the page's address,
// and dots and lines vanish when that changes.
document.querySelector('base')?.remove();
const root = element.querySelector('.cg'), part = name => root.querySelector(name);
const canvas = part('canvas'), plot = part('.plot'), over = part('.over'), tip = part('.tip'), said = part('.said');
const NS = 'http://www.w3.org/2000/svg', MOVE_MS = 900;
const WAYS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
const svg = make('svg', {class: 'arrows', role: 'group', 'aria-label': 'Arrows'}, over);
const glow = make('g', {class: 'lit'}, svg), bundle = make('g', {}, svg), rings = make('g', {}, svg);
const labels = new Map(), glowing = new Map();  // by name, so that what stays is not made anew
const still = matchMedia('(prefers-reduced-motion: reduce)');
let names = [], texts = [], index = new Map(), radius = [], own = [[], []];
let xs = [], ys = [], px = [], py = [];  // where the dots are now, as data and in pixels
let shafts = [], bundles = [], brightest = [], tones = {}, shapes = [];
let frame = 0, move = null, cursor = null, hot = null, waiting = 0, down = null;
const narrow = () => (root.clientWidth || innerWidth) < 520;  // no width: in a hidden tab
const isDark = () => !!document.querySelector('body.dark, .dark');
const within = (value, low, high) => Math.max(low, Math.min(value, high));
const at = name => [px[index.get(name)], py[index.get(name)]];
const soon = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(decorate); };

function make(tag, attributes, parent) {
  const node = document.createElementNS(NS, tag);
  for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
  return parent.appendChild(node);
}

// --- dots -----------------------------------------------------------------------------------------------------------

function draw() {
  if (!props.figure) return Promise.resolve();
  const figure = JSON.parse(props.figure), nodes = figure.data[0], size = nodes.marker.size;
  names = nodes.customdata; index = new Map(names.map((n, i) => [n, i])); own = [nodes.x, nodes.y];
  texts = names.map((name, i) => plainText(nodes.text ? nodes.text[i] : name));
  nodes.hoverinfo = 'skip';  // told by hint(), above the labels and in the colours of the page
  if (narrow() && Array.isArray(size)) nodes.marker.size = size.map(pixels => pixels * .7);
  radius = names.map((_, i) => (nodes.marker.size[i] ?? size) / 2);
  [nodes.x, nodes.y] = goal();
  if (!move || xs.length !== names.length) { [xs, ys] = goal(); settle(); }
  const palette = nodes.meta[isDark() ? 'dark' : 'light'], style = getComputedStyle(root);
  nodes.marker.color = nodes.meta.colour.map(i => palette[i]);
  tones = {damage: style.getPropertyValue('--damage'), gain: style.getPropertyValue('--gain')};
  for (const axis of ['xaxis', 'yaxis']) if (plot._fullLayout) figure.layout[axis].range = plot.layout[axis].range;
  if (narrow()) figure.layout.dragmode = false;  // a finger must be able to scroll past the map
  newArrows(); newLit();
  return Plotly.react(plot, figure.data, figure.layout, {scrollZoom: !narrow(), doubleClick: false,
    showSendToCloud: false, plotlyServerURL: '', displaylogo: false, displayModeBar: narrow() ? false : 'hover',
    modeBarButtonsToRemove: ['select2d', 'lasso2d', 'toImage', 'autoScale2d']}).then(decorate);
}

function plainText(markup) {
  return new DOMParser().parseFromString(markup.replace(/<br>/g, '\n'), 'text/html').body.textContent;
}

// Where the dots belong: in the layout of that name, or as the figure has them.
function goal() {
  const found = JSON.parse(props.layouts || '{}')[props.layout];
  return found && found[0].length === names.length ? found : own;
}

function settle() { move = null; root.classList.remove('moving'); }

// Plotly would need a tenth of a second for each step, so the dots move on the canvas and Plotly is told at the end.
function travel() {
  const to = goal(), from = [xs, ys], began = performance.now(), mine = {};
  if (!plot._fullLayout || to[0].every((x, i) => x === xs[i] && to[1][i] === ys[i])) return;
  const dots = [...plot.querySelectorAll('.scatterlayer .point')];
  shapes = dots.map(dot => [new Path2D(dot.getAttribute('d')), getComputedStyle(dot).fill]);
  move = mine; hint(null); root.classList.add('moving');
  const step = now => {
    if (move !== mine) return;
    const t = within((now - began) / MOVE_MS, 0, 1), eased = t < .5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2;
    [xs, ys] = t < 1 ? from.map((values, k) => values.map((v, i) => v + (to[k][i] - v) * eased)) : to;
    decorate();
    if (t < 1) requestAnimationFrame(step);
    else Plotly.restyle(plot, {x: [to[0]], y: [to[1]]}, [0]).then(() => move === mine && (settle(), decorate()));
  };
  if (still.matches) step(began + MOVE_MS); else requestAnimationFrame(step);
}

// Bring a dot that lies outside the view to its centre.
function reveal(name) {
  const i = index.get(name), full = plot._fullLayout;
  if (i === undefined || !full || !full.xaxis || !root.clientWidth) return;
  const [x, y] = goal().map(values => values[i]), {xaxis, yaxis} = full;
  const outside = (axis, v, size) => Math.abs(axis._offset + axis.d2p(v) - size / 2) > size / 2 - 12;
  if (!outside(xaxis, x, root.clientWidth) && !outside(yaxis, y, root.clientHeight)) return;
  const around = (axis, v) => { const half = (axis.range[1] - axis.range[0]) / 2; return [v - half, v + half]; };
  Plotly.relayout(plot, {'xaxis.range': around(xaxis, x), 'yaxis.range': around(yaxis, y)});
}

// --- pointer and keyboard -------------------------------------------------------------------------------------------

// What a person means who points at (x, y): a dot right there, else an arrow, else the nearest dot in reach.
function under(x, y, touch) {
  let dot = null, gap = Infinity, least = Infinity;  // in radii, so that a small dot on a large one can be hit
  names.forEach((name, i) => {
    const far = Math.hypot(px[i] - x, py[i] - y);
    if (far / radius[i] < least) { least = far / radius[i]; gap = far - radius[i]; dot = name; }
  });
  if (gap <= (touch ? 6 : 2)) return {dot};
  const shaft = shaftAt(x, y, touch ? 14 : 9);
  return shaft ? {shaft} : gap <= (touch ? 20 : 12) ? {dot} : null;
}

function place(event) {
  const box = root.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

// The arrows of another pick would be wrong until the new ones come; if none come, the old ones are still what holds.
function pick(name) {
  if (name !== props.value) {
    clearTimeout(waiting); waiting = setTimeout(() => { waiting = 0; newArrows(); soon(); }, 1500);
    props.value = name; newArrows(); soon();
  }
  trigger('select', {value: name});
}

// A click is a press without a drag. Plotly covers the page while a button is down, so the release is caught outside.
function release(event) {
  window.removeEventListener('pointerup', release, true);
  if (!down || event.pointerId !== down.pointerId) return;
  if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > 8) return;
  const [x, y] = place(event), found = under(x, y, event.pointerType === 'touch');
  down = null; cursor = null; hint(found && found.shaft ? found : null, x, y);
  if (found && found.dot) { root.focus({preventScroll: true}); pick(found.dot); }
}

function press(event) {
  down = event.isPrimary && event.button === 0 && !event.target.closest('.modebar') ? event : null;
  if (down) window.addEventListener('pointerup', release, true);
}

function hover(event) {
  if (event.pointerType === 'touch' || event.buttons) return;
  const [x, y] = place(event);
  hint(event.target.closest('.modebar') ? null : under(x, y, false), x, y);
}

// From the keyboard a cursor goes to the nearest dot in the arrow's direction, and Enter picks it.
function walk([dx, dy]) {
  const from = index.get(cursor ?? props.value), middle = [root.clientWidth / 2, root.clientHeight / 2];
  const [x, y] = from === undefined ? middle : [px[from], py[from]];
  let best = null, least = Infinity;
  names.forEach((name, i) => {
    const along = (px[i] - x) * dx + (py[i] - y) * dy, aside = Math.abs((px[i] - x) * dy + (py[i] - y) * dx);
    const cost = along + 2 * aside;
    if (i !== from && along > 0 && aside <= along && cost < least) { least = cost; best = name; }
  });
  if (best === null) return;
  cursor = best; hint(null); reveal(best); soon();
  const shaft = shafts.find(({e}) => best === e.to || best === e.from);
  said.textContent = best === props.value || !shaft ? best : best + '. ' + sentence(shaft.e);
}

function key(event) {
  const way = WAYS[event.key], here = event.target === root, enter = event.key === 'Enter' || event.key === ' ';
  const seen = shafts.filter(s => s.line.length), k = seen.findIndex(s => s.g === event.target);
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (way && k >= 0) seen[(k + way[0] + way[1] + seen.length) % seen.length].g.focus();
  else if (way && here) walk(way);
  else if (enter && here) { if (cursor !== null) pick(cursor); cursor = null; soon(); }
  else if (event.key === 'Escape') { cursor = null; hint(null); soon(); return; }
  else return;
  event.preventDefault();
}

function describe() {
  root.setAttribute('aria-label', props.label || 'Concept map. Arrow keys go from dot to dot, Enter picks.');
}

function start() {
  if (!window.Plotly) return setTimeout(start, 50);
  newOverview();
  describe();
  draw().then(() => {
    for (const name of ['plotly_relayouting', 'plotly_relayout', 'plotly_afterplot']) plot.on(name, soon);
    plot.on('plotly_relayouting', () => hint(null));
    root.dataset.ready = 'yes';
  });
  root.addEventListener('pointerdown', press, true);
  root.addEventListener('pointermove', hover);
  root.addEventListener('pointerleave', event => { if (event.pointerType !== 'touch') hint(null); });
  root.addEventListener('keydown', key);
  root.addEventListener('blur', () => { cursor = null; soon(); });
  new ResizeObserver(() => {  // also when a tab that was hidden is shown
    const full = plot._fullLayout, W = root.clientWidth, H = root.clientHeight;
    if (full && W && (full.width !== W || full.height !== H)) Plotly.Plots.resize(plot).catch(() => {});
    soon();
  }).observe(root);
  let dark = isDark();
  new MutationObserver((_, observer) => {
    if (!root.isConnected) return observer.disconnect();
    if (isDark() !== dark) { dark = isDark(); draw(); }
  }).observe(document.body, {attributeFilter: ['class']});
}
start();
watch('value', () => { reveal(props.value); soon(); });
watch('arrows', () => { clearTimeout(waiting); waiting = 0; newArrows(); soon(); });
watch('overview', () => { newOverview(); soon(); });
watch('lit', newLit);
watch('label_order', soon);
watch('label', describe);
watch(['layout', 'layouts'], travel);
watch('figure', () => window.Plotly && draw());
