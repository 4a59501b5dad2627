// The pictures of the concepts on the canvas, each with its ring; dots where there is no picture or no room for one.
function mapTiles(state, {paintEdges, stamp, soon}) {
  const {root, canvas, plot} = state, LARGEST = 64, POP_MS = 200, DIMMED = .38;
  const ROOMY = 1.14;  // a tile may be so much wider than the gap between two: what a picture leaves free at its sides
  // pixels; on a fine screen one sees more of a small picture
  const SMALLEST = 14 / Math.min(Math.max(devicePixelRatio || 1, 1), 1.4);
  const RINGED = 22;  // a picture with a ring is at least so wide, also where the others are dots for want of room
  let dots = [];  // how each is drawn where it has no picture
  // The outline of a dot of radius r, by Plotly's names: of much the same area each.
  const OUTLINES = {
    circle: (path, r) => path.arc(0, 0, r, 0, 2 * Math.PI),
    square: (path, r) => path.rect(-r, -r, 2 * r, 2 * r),
    'triangle-up': (path, r) => corners(path, [[0, -r], [1.155 * r, r / 2], [-1.155 * r, r / 2]]),
    'triangle-down': (path, r) => corners(path, [[0, r], [1.155 * r, -r / 2], [-1.155 * r, -r / 2]]),
    diamond: (path, r) => corners(path, [[1.3 * r, 0], [0, -1.3 * r], [-1.3 * r, 0], [0, 1.3 * r]]),
  };

  function readColours() {
    const style = getComputedStyle(root), names = ['damage', 'gain', 'ink', 'panel'];
    state.tones = Object.fromEntries(names.map(name => [name, style.getPropertyValue('--' + name)]));
  }

  function corners(path, places) {
    for (const [x, y] of places) path.lineTo(x, y);
    path.closePath();
  }

  // A shape and a colour for each concept, in the order of the figure's.
  function shapeDots(symbols, fills) {
    dots = symbols.map((symbol, i) => {
      const path = new Path2D();
      OUTLINES[symbol](path, state.dotRadius[i]);
      return {path, fill: fills[i]};
    });
  }

  // How wide tiles are now: as the places leave room when the whole map is seen, growing with the zoom.
  function measure() {
    const {xaxis, yaxis} = plot._fullLayout, {home, room} = state;
    const zoom = Math.sqrt(home / (xaxis.range[1] - xaxis.range[0]) * home / (yaxis.range[1] - yaxis.range[0]));
    const side = Math.min(LARGEST, ROOMY * room * zoom);
    state.side = side < SMALLEST ? 0 : side;
    state.pictured = state.side > 0 && state.looks.some(look => look.tile);
    root.classList.toggle('pictured', state.pictured);
    state.radius = state.looks.map((look, i) => sideOf(look) / 2 || state.dotRadius[i]);
  }

  // How wide the picture of a concept that looks so is; 0 where it is a dot.
  function sideOf(look) { return look.tile ? Math.max(state.side, look.ring ? RINGED : 0) : 0; }

  function paint(W, H) {
    const scale = Math.min(devicePixelRatio || 1, 2), w = Math.round(W * scale), h = Math.round(H * scale);
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const pen = canvas.getContext('2d'), dark = state.isDark(), now = performance.now();
    pen.setTransform(scale, 0, 0, scale, 0, 0); pen.clearRect(0, 0, W, H);
    paintEdges(pen, W, H);
    const last = [];  // what changed lies above what did not
    state.looks.forEach((look, i) => {
      const x = state.px[i], y = state.py[i], reach = state.radius[i] + 12;
      if (x < -reach || y < -reach || x > W + reach || y > H + reach) return;
      if (look.ring) last.push(i); else paintConcept(pen, i, now, dark);
    });
    last.sort((i, j) => state.looks[i].width - state.looks[j].width);  // and what changed most above all
    for (const i of last) paintConcept(pen, i, now, dark);
    pen.globalAlpha = 1;
    root.classList.toggle('turning', state.turns.size > 0);
    if (state.turns.size) soon();
  }

  // A concept as it looks, or on its way there from how it looked.
  function paintConcept(pen, i, now, dark) {
    const turn = state.turns.get(i), look = state.looks[i];
    if (!turn) return paintLook(pen, i, look, 1, 1, dark);
    const t = (now - turn.at) / POP_MS;
    if (t >= 1) state.turns.delete(i);
    if (t < 1) paintLook(pen, i, turn.was, state.within(1 - t, 0, 1), 1, dark);
    if (t > 0) paintLook(pen, i, look, Math.min(t, 1), look.ring && t < 1 ? 1 + .3 * Math.sin(Math.PI * t) : 1, dark);
  }

  function paintLook(pen, i, look, share, grown, dark) {
    const x = state.px[i], y = state.py[i], r = state.radius[i] * grown, side = sideOf(look);
    if (look.ring) paintGround(pen, x, y, r, share);
    if (side) {
      pen.globalAlpha = look.alpha * share;
      stamp(pen, look.tile, x, y, side * grown, dark);
    } else if (dots[i]) {
      pen.globalAlpha = (state.shafts.length ? DIMMED : 1) * look.alpha * share;
      pen.translate(x, y); pen.fillStyle = dots[i].fill; pen.fill(dots[i].path); pen.translate(-x, -y);
    }
    if (look.ring) { pen.globalAlpha = share; paintRing(pen, look, x, y, r); }
  }

  function circle(pen, x, y, r) { pen.beginPath(); pen.arc(x, y, r, 0, 2 * Math.PI); }

  // A ring stands out against the pictures around it.
  function paintGround(pen, x, y, r, share) {
    circle(pen, x, y, r + 2);
    pen.globalAlpha = .85 * share; pen.fillStyle = state.tones.panel; pen.fill();
    pen.globalAlpha = .14 * share; pen.fillStyle = state.tones.damage; pen.fill();
  }

  // The wider the ring, the further the picture moved; a lost concept has a crossed badge, an erased one is struck out.
  function paintRing(pen, {ring, width}, x, y, r) {
    const {tones} = state, erased = ring === 'erased', at = (r + 2) * Math.SQRT1_2;
    pen.strokeStyle = erased ? tones.ink : tones.damage; pen.lineWidth = width;
    circle(pen, x, y, r + 2); pen.stroke();
    if (erased) { pen.beginPath(); pen.moveTo(x - at, y + at); pen.lineTo(x + at, y - at); pen.stroke(); }
    if (ring !== 'lost') return;
    const b = Math.max(4.5, r / 3.5), c = b * .42, u = x + at, v = y - at;
    circle(pen, u, v, b); pen.fillStyle = tones.damage; pen.fill();
    pen.strokeStyle = tones.panel; pen.lineWidth = Math.max(1.2, b / 4);
    pen.beginPath(); pen.moveTo(u - c, v - c); pen.lineTo(u + c, v + c);
    pen.moveTo(u - c, v + c); pen.lineTo(u + c, v - c); pen.stroke();
  }

  return {readColours, shapeDots, measure, paint};
}
