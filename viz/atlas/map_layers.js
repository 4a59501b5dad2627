// What lies above and beneath the dots: functions only, which use the state of concept_map.js and are joined to it.

// --- the canvas: the whole graph, and dots that move -----------------------------------------------------------------

function newOverview() {
  const sorted = new Map();
  for (const [a, b, size, sign] of JSON.parse(props.overview || '[]')) {
    const level = within(Math.floor(size * 4), 0, 3), key = level * 2 + (sign > 0 ? 1 : 0);
    if (!sorted.has(key)) sorted.set(key, []);
    sorted.get(key).push(a, b);
  }
  bundles = [...sorted].sort((a, b) => a[0] - b[0]);  // the strongest last, on top
}

function paint(W, H) {
  const scale = Math.min(devicePixelRatio || 1, 2), w = Math.round(W * scale), h = Math.round(H * scale);
  if (!bundles.length && !move && !canvas.dataset.used) return;
  canvas.dataset.used = 'yes';
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const pen = canvas.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0); pen.clearRect(0, 0, W, H);
  for (const [key, ends] of bundles) {
    const level = key >> 1;
    pen.strokeStyle = key & 1 ? tones.damage : tones.gain; pen.lineWidth = .6 + level * .35;
    pen.globalAlpha = (.05 + level * .05) * (shafts.length ? .6 : 1);
    pen.beginPath();
    for (let k = 0; k < ends.length; k += 2) {
      const x0 = px[ends[k]], y0 = py[ends[k]], x1 = px[ends[k + 1]], y1 = py[ends[k + 1]];
      if ((x0 < 0 && x1 < 0) || (x0 > W && x1 > W) || (y0 < 0 && y1 < 0) || (y0 > H && y1 > H)) continue;
      pen.moveTo(x0, y0); pen.lineTo(x1, y1);
    }
    pen.stroke();
  }
  if (!move) return;
  pen.globalAlpha = shafts.length ? .38 : 1;
  shapes.forEach(([path, fill], i) => {
    pen.setTransform(scale, 0, 0, scale, px[i] * scale, py[i] * scale); pen.fillStyle = fill; pen.fill(path);
  });
}

// --- arrows ---------------------------------------------------------------------------------------------------------

function sentence(e) { return e.say || `${e.from} → ${e.to}: ${e.text}`; }

function newArrows() {
  hint(null); bundle.replaceChildren();
  const known = (waiting ? [] : JSON.parse(props.arrows || '[]')).filter(e => index.has(e.from) && index.has(e.to));
  shafts = known.map(e => {
    const kind = e.sign + (e.clear === false ? ' unclear' : '');
    const g = make('g', {class: kind, role: 'img', 'aria-label': sentence(e)}, bundle);
    const shaft = {e, g, body: make('path', {}, g), head: make('polygon', {}, g), line: []};
    g.addEventListener('focus', () => shaft.line.length && hint({shaft}, ...shaft.line[8]));
    g.addEventListener('blur', () => hint(null));
    return shaft;
  });
}

// A curve that bows to one side (so that A -> B and B -> A part), thick at its source and thin at its end.
function shape(shaft) {
  const {e, g, body, head} = shaft, a = at(e.from), b = at(e.to), dx = b[0] - a[0], dy = b[1] - a[1];
  const far = Math.hypot(dx, dy), room = name => radius[index.get(name)];
  g.style.display = far < 16 ? 'none' : ''; shaft.line = [];
  if (far < 16) return;
  const c = [(a[0] + b[0]) / 2 - dy * .18, (a[1] + b[1]) / 2 + dx * .18], left = [], right = [];
  const from = Math.min(.4, (room(e.from) + 5) / far), to = 1 - Math.min(.4, (room(e.to) + 4) / far);
  for (let s = 0; s <= 16; s++) {
    const t = from + (to - from) * s / 16;
    const p = [0, 1].map(k => (1 - t) ** 2 * a[k] + 2 * t * (1 - t) * c[k] + t * t * b[k]);
    const [vx, vy] = [0, 1].map(k => 2 * (1 - t) * (c[k] - a[k]) + 2 * t * (b[k] - c[k]));
    const n = Math.hypot(vx, vy) || 1, w = e.width / 2 * (1 - s / 16) + .6;
    left.push([p[0] - vy / n * w, p[1] + vx / n * w]); right.unshift([p[0] + vy / n * w, p[1] - vx / n * w]);
    shaft.line.push([...p, vx / n, vy / n]);
  }
  body.setAttribute('d', 'M' + [...left, ...right].map(q => q.map(v => v.toFixed(1)).join(',')).join('L') + 'Z');
  const [x, y, ux, uy] = shaft.line[8], h = Math.max(3.5, e.width / 2);
  const corner = (f, s) => (x + ux * f - uy * s).toFixed(1) + ',' + (y + uy * f + ux * s).toFixed(1);
  head.setAttribute('points', [corner(h + 2, 0), corner(-h, h + 1), corner(-h + 3, 0), corner(-h, -h - 1)].join(' '));
}

// The arrow that passes within `reach` pixels of (x, y), if any: the nearest one.
function shaftAt(x, y, reach) {
  let found = null;
  for (const shaft of shafts) {
    for (let s = 1; s < shaft.line.length; s++) {
      const [ax, ay] = shaft.line[s - 1], dx = shaft.line[s][0] - ax, dy = shaft.line[s][1] - ay;
      const t = within(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1), 0, 1);
      const d = Math.hypot(ax + t * dx - x, ay + t * dy - y);
      if (d <= reach) { reach = d; found = shaft; }
    }
  }
  return found;
}

// What is known of an arrow or a dot, beside the point (x, y); null hides it.
function hint(found, x, y) {
  if (hot && hot.shaft) hot.shaft.g.classList.remove('hot');
  hot = found; tip.hidden = !found; root.classList.toggle('told', !!(found && found.dot));
  if (!found) return;
  if (found.shaft) found.shaft.g.classList.add('hot');
  tip.textContent = found.shaft ? sentence(found.shaft.e) : texts[index.get(found.dot)];
  const w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = within(x - w / 2, 4, root.clientWidth - w - 4) + 'px';
  tip.style.top = (y - h - 14 < 4 ? y + 18 : y - h - 14) + 'px';
}

// --- rings and labels -----------------------------------------------------------------------------------------------

// Candidates that light up: five times a second, so only attributes change, and labels only when others lead.
function newLit() {
  const shares = Object.entries(JSON.parse(props.lit || '{}')).filter(([name, share]) => share > 0 && index.has(name));
  const now = new Map(shares);
  for (const [name, node] of glowing) if (!now.has(name)) { node.remove(); glowing.delete(name); }
  for (const [name, share] of shares) {
    if (!glowing.has(name)) {
      const p = at(name);
      glowing.set(name, make('circle', {cx: p[0] || 0, cy: p[1] || 0, r: radius[index.get(name)] + 5}, glow));
      glowing.get(name).dataset.name = name;
    }
    const level = Math.sqrt(Math.min(share, 1)), style = glowing.get(name).style;
    style.strokeOpacity = (.25 + .75 * level).toFixed(2); style.strokeWidth = (1 + 6 * level).toFixed(1) + 'px';
  }
  const leading = shares.sort((a, b) => b[1] - a[1]).slice(0, 5).map(s => s[0]);
  if (leading.join('\n') !== brightest.join('\n')) { brightest = leading; soon(); }
}

// The concepts at the other ends of the pick's arrows, with what their labels say; the way only if it varies.
function farEnds() {
  const ends = new Map(), out = shafts.filter(s => s.e.from === props.value).length, both = out && out < shafts.length;
  for (const {e} of shafts) {
    const mine = e.from === props.value, name = mine ? e.to : e.from, other = ends.get(name);
    const text = (both ? (mine ? '→' : '←') : '') + e.text;
    const sign = other && other.sign === 'damage' ? 'damage' : e.sign;
    ends.set(name, {text: other ? other.text + ' ' + text : text, sign});
  }
  return ends;
}

function decorate() {
  const full = plot._fullLayout, W = root.clientWidth, H = root.clientHeight;
  if (!full || !full.xaxis || !W) return;
  px = xs.map(x => full.xaxis._offset + full.xaxis.d2p(x)); py = ys.map(y => full.yaxis._offset + full.yaxis.d2p(y));
  const ends = farEnds();
  root.classList.toggle('ego', shafts.length > 0);
  paint(W, H);
  shafts.forEach(shape);
  const reachable = shafts.find(s => s.line.length);
  for (const s of shafts) s.g.setAttribute('tabindex', s === reachable ? 0 : -1);
  rings.replaceChildren();
  const ring = (name, kind, more) => {
    const [cx, cy] = at(name);
    make('circle', {class: kind, cx, cy, r: radius[index.get(name)] + more}, rings);
  };
  for (const [name, end] of ends) ring(name, 'end ' + end.sign, 2);
  if (index.has(props.value)) ring(props.value, 'pick', 6);
  if (index.has(cursor)) ring(cursor, 'cursor', 10);
  for (const [name, node] of glowing) {
    const [x, y] = at(name);
    node.setAttribute('cx', x); node.setAttribute('cy', y);
  }
  if (!move || !labels.size) chooseLabels(W, H, ends);  // while the dots move, the same labels go along
  for (const [name, {node, dx, dy}] of labels) {
    const [x, y] = at(name);
    node.style.left = x + dx + 'px'; node.style.top = y + dy + 'px';
  }
}

// The cursor, the pick, the ends of its arrows, what shines most, then the rest in their given order; a label that would
// collide is left out.
function chooseLabels(W, H, ends) {
  const first = [cursor, props.value, ...ends.keys(), ...brightest], limit = narrow() ? 14 : 25;
  const boxes = [], chosen = new Set();
  for (const name of new Set([...first, ...JSON.parse(props.label_order || '[]')])) {
    if (!index.has(name) || boxes.length >= limit) continue;
    const [x, y] = at(name), end = ends.get(name), text = end ? name + ' ' + end.text : name;
    if (x < 0 || x > W || y < 0 || y > H) continue;
    const w = text.length * 6.9 + 6, r = radius[index.get(name)] + (name === props.value ? 4 : 0), side = w / 2 + r + 4;
    const inside = cx => within(cx, w / 2 + 2, W - w / 2 - 2);
    const spots = [[x, y + r + 4], [x, y - r - 19]];
    if (first.includes(name)) spots.push([x + side, y - 7], [x - side, y - 7], [x + side, y + 10], [x - side, y + 10]);
    const spot = spots.map(s => [inside(s[0]), s[1], w]).find(s => s[1] > 0 && s[1] + 15 < H &&
      !boxes.some(b => Math.abs(b[0] - s[0]) < (b[2] + w) / 2 && Math.abs(b[1] - s[1]) < 15));
    if (!spot) continue;
    boxes.push(spot); chosen.add(name);
    if (!labels.has(name)) labels.set(name, {node: over.appendChild(document.createElement('span'))});
    const label = labels.get(name);
    label.dx = spot[0] - x; label.dy = spot[1] - y; label.node.textContent = text;
    const strong = end || name === cursor ? ' end' : brightest.includes(name) ? ' lit' : '';
    label.node.className = 'label' + (name === props.value ? ' pick' : strong);
  }
  for (const [name, {node}] of labels) if (!chosen.has(name)) { node.remove(); labels.delete(name); }
}
