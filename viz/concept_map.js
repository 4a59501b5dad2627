// The map in the browser. Plotly draws the dots and handles zoom; labels and arrows lie above it as plain HTML and SVG,
// which is many times faster than redrawing the figure and takes its colours from CSS in light and dark.
const root = element.querySelector('.cg'), plot = root.querySelector('.plot'), over = root.querySelector('.over');
const NS = 'http://www.w3.org/2000/svg';
let names = [], xs = [], ys = [], index = new Map(), frame = 0;
const narrow = () => root.clientWidth < 520;
const isDark = () => !!document.querySelector('body.dark, .dark');

function draw() {
  const figure = JSON.parse(props.figure), nodes = figure.data[0];
  names = nodes.customdata; xs = nodes.x; ys = nodes.y; index = new Map(names.map((n, i) => [n, i]));
  const palette = nodes.meta[isDark() ? 'dark' : 'light'];
  nodes.marker.color = nodes.meta.colour.map(i => palette[i]);
  if (narrow()) figure.layout.dragmode = false;  // a finger must be able to scroll past the map
  return Plotly.react(plot, figure.data, figure.layout, {responsive: true, scrollZoom: !narrow(), doubleClick: false,
    showSendToCloud: false, plotlyServerURL: '', displaylogo: false, displayModeBar: narrow() ? false : 'hover',
    modeBarButtonsToRemove: ['select2d', 'lasso2d', 'toImage', 'autoScale2d']}).then(decorate);
}

function make(tag, attributes, parent) {
  const node = document.createElementNS(NS, tag);
  for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
  return parent.appendChild(node);
}

// A curve that bows to one side (so that A -> B and B -> A part), thick at its source and thin at its end.
function arrow(svg, a, b, width, sign) {
  const dx = b[0] - a[0], dy = b[1] - a[1], far = Math.hypot(dx, dy);
  if (far < 16) return;
  const c = [(a[0] + b[0]) / 2 - dy * .18, (a[1] + b[1]) / 2 + dx * .18];
  const at = t => [0, 1].map(k => (1 - t) ** 2 * a[k] + 2 * t * (1 - t) * c[k] + t * t * b[k]);
  const left = [], right = [], from = Math.min(.4, 10 / far), to = 1 - Math.min(.4, 9 / far);
  let middle = null;
  for (let s = 0; s <= 16; s++) {
    const t = from + (to - from) * s / 16, p = at(t);
    const vx = 2 * (1 - t) * (c[0] - a[0]) + 2 * t * (b[0] - c[0]), vy = 2 * (1 - t) * (c[1] - a[1]) + 2 * t * (b[1] - c[1]);
    const n = Math.hypot(vx, vy) || 1, w = width / 2 * (1 - s / 16) + .6;
    left.push([p[0] - vy / n * w, p[1] + vx / n * w]); right.unshift([p[0] + vy / n * w, p[1] - vx / n * w]);
    if (s === 8) middle = [p, vx / n, vy / n];
  }
  make('path', {class: sign, d: 'M' + [...left, ...right].map(q => q.map(v => v.toFixed(1)).join(',')).join('L') + 'Z'}, svg);
  const [p, ux, uy] = middle, h = Math.max(3.5, width / 2);
  const corner = (f, s) => (p[0] + ux * f - uy * s).toFixed(1) + ',' + (p[1] + uy * f + ux * s).toFixed(1);
  make('polygon', {class: sign, points: [corner(h + 2, 0), corner(-h, h + 1), corner(-h + 3, 0), corner(-h, -h - 1)].join(' ')}, svg);
}

function decorate() {
  const full = plot._fullLayout;
  if (!full || !full.xaxis) return;
  const xa = full.xaxis, ya = full.yaxis, W = root.clientWidth, H = root.clientHeight;
  const at = i => [xa._offset + xa.d2p(xs[i]), ya._offset + ya.d2p(ys[i])];
  const arrows = JSON.parse(props.arrows || '[]').filter(e => index.has(e.from) && index.has(e.to));
  const ends = new Map(arrows.map(e => [e.from === props.value ? e.to : e.from, e]));
  root.classList.toggle('ego', arrows.length > 0);
  over.replaceChildren();
  const svg = make('svg', {class: 'arrows', 'aria-hidden': 'true'}, over);
  for (const e of arrows) {
    arrow(svg, at(index.get(e.from)), at(index.get(e.to)), e.width, e.sign);
  }
  for (const [name, e] of ends) { const p = at(index.get(name)); make('circle', {class: 'end ' + e.sign, cx: p[0], cy: p[1], r: 7}, svg); }
  if (index.has(props.value)) { const p = at(index.get(props.value)); make('circle', {class: 'pick', cx: p[0], cy: p[1], r: 11}, svg); }
  // Labels: the pick, the ends of its arrows, then the rest in their given order; a label that would collide is left out.
  const order = [props.value, ...ends.keys(), ...JSON.parse(props.label_order || '[]')];
  const boxes = [], seen = new Set(), limit = narrow() ? 14 : 25;
  for (const name of order) {
    if (seen.has(name) || !index.has(name) || boxes.length >= limit) continue;
    seen.add(name);
    const [x, y] = at(index.get(name)), text = ends.has(name) ? name + ' ' + ends.get(name).text : name, w = text.length * 6.9 + 6;
    if (x < 0 || x > W || y < 0 || y > H) continue;
    const inside = cx => Math.min(Math.max(cx, w / 2 + 2), W - w / 2 - 2), side = w / 2 + 9;
    const spots = [[x, y + 9], [x, y - 24]];
    if (seen.size <= ends.size + 1) spots.push([x + side, y - 7], [x - side, y - 7], [x + side, y + 10], [x - side, y + 10]);
    const spot = spots.map(s => [inside(s[0]), s[1], w]).find(s => s[1] > 0 && s[1] + 15 < H &&
      !boxes.some(b => Math.abs(b[0] - s[0]) < (b[2] + w) / 2 && Math.abs(b[1] - s[1]) < 15));
    if (!spot) continue;
    boxes.push(spot);
    const label = document.createElement('span');
    label.className = 'label' + (name === props.value ? ' pick' : ends.has(name) ? ' end' : '');
    label.textContent = text; label.style.left = spot[0] + 'px'; label.style.top = spot[1] + 'px';
    over.appendChild(label);
  }
}
const soon = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(decorate); };

function start() {
  if (!window.Plotly) return setTimeout(start, 50);
  draw().then(() => {
    plot.on('plotly_click', event => {
      const point = event.points.find(p => p.customdata);
      if (!point) return;
      props.arrows = '[]'; props.value = point.customdata; soon(); trigger('select', {value: point.customdata});
    });
    for (const name of ['plotly_relayouting', 'plotly_relayout', 'plotly_afterplot']) plot.on(name, soon);
    root.dataset.ready = 'yes';
  });
  new ResizeObserver(soon).observe(root);
  let dark = isDark();
  new MutationObserver(() => { if (isDark() !== dark) { dark = isDark(); draw(); } }).observe(document.body, {attributeFilter: ['class']});
}
start();
watch('value', soon);
watch('arrows', soon);
watch('figure', () => window.Plotly && draw());
