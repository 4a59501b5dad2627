// The arrows of the pick.
function mapArrows(state, {hint, sentence, soon}) {
  const {props} = state, layer = state.layers.shafts;
  const SLIM = .45;  // where there are pictures, how wide an arrow is of what it is among dots: it must not hide them
  let waiting = 0;

  function newArrows() {
    hint(null); layer.replaceChildren();
    const effects = waiting ? [] : JSON.parse(props.arrows || '[]');
    state.shafts = effects.filter(effect => state.has(effect.from) && state.has(effect.to)).map(effect => {
      const kind = effect.sign + (effect.clear === false ? ' unclear' : '');
      const g = state.make('g', {class: kind, role: 'img', 'aria-label': sentence(effect)}, layer);
      const shaft = {effect, g, body: state.make('path', {}, g), head: state.make('polygon', {}, g), line: []};
      g.addEventListener('focus', () => shaft.line.length && hint({shaft}, ...shaft.line[8]));
      g.addEventListener('blur', () => hint(null));
      return shaft;
    });
  }

  // The arrows of another pick would be wrong until the new ones come; if none come, the old ones still hold.
  function hideUntilNew() {
    clearTimeout(waiting); waiting = setTimeout(() => { waiting = 0; newArrows(); soon(); }, 1500);
    newArrows();
  }

  function arrived() { clearTimeout(waiting); waiting = 0; newArrows(); }

  // A curve that bows to one side (so that A -> B and B -> A part), thick at its source and thin at its end.
  function shape(shaft, share) {
    const {effect, g, body, head} = shaft, a = state.at(effect.from), b = state.at(effect.to);
    const dx = b[0] - a[0], dy = b[1] - a[1], far = Math.hypot(dx, dy);
    g.style.display = far < 16 ? 'none' : ''; shaft.line = [];
    if (far < 16) return;
    const c = [(a[0] + b[0]) / 2 - dy * .18, (a[1] + b[1]) / 2 + dx * .18], left = [], right = [];
    const from = Math.min(.4, (state.radiusOf(effect.from) + 5) / far);
    const wide = effect.width * share;
    const to = 1 - Math.min(.4, (state.radiusOf(effect.to) + 4) / far);
    for (let s = 0; s <= 16; s++) {
      const t = from + (to - from) * s / 16;
      const p = [0, 1].map(k => (1 - t) ** 2 * a[k] + 2 * t * (1 - t) * c[k] + t * t * b[k]);
      const [vx, vy] = [0, 1].map(k => 2 * (1 - t) * (c[k] - a[k]) + 2 * t * (b[k] - c[k]));
      const n = Math.hypot(vx, vy) || 1, w = wide / 2 * (1 - s / 16) + .6;
      left.push([p[0] - vy / n * w, p[1] + vx / n * w]); right.unshift([p[0] + vy / n * w, p[1] - vx / n * w]);
      shaft.line.push([...p, vx / n, vy / n]);
    }
    body.setAttribute('d', 'M' + [...left, ...right].map(q => q.map(v => v.toFixed(1)).join(',')).join('L') + 'Z');
    const [x, y, ux, uy] = shaft.line[8], h = Math.max(3.5, wide / 2);
    const corner = (f, s) => (x + ux * f - uy * s).toFixed(1) + ',' + (y + uy * f + ux * s).toFixed(1);
    head.setAttribute('points', [corner(h + 2, 0), corner(-h, h + 1), corner(-h + 3, 0), corner(-h, -h - 1)].join(' '));
  }

  function placeArrows() {
    const share = state.pictured || state.looks.some(look => look.ring) ? SLIM : 1;
    for (const shaft of state.shafts) shape(shaft, share);
    const first = state.shafts.find(shaft => shaft.line.length);
    for (const shaft of state.shafts) shaft.g.setAttribute('tabindex', shaft === first ? 0 : -1);
  }

  // The arrow that passes within `reach` pixels of (x, y), if any: the nearest one.
  function shaftAt(x, y, reach) {
    let nearest = null;
    for (const shaft of state.shafts) {
      for (let s = 1; s < shaft.line.length; s++) {
        const [ax, ay] = shaft.line[s - 1], dx = shaft.line[s][0] - ax, dy = shaft.line[s][1] - ay;
        const t = state.within(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1), 0, 1);
        const d = Math.hypot(ax + t * dx - x, ay + t * dy - y);
        if (d <= reach) { reach = d; nearest = shaft; }
      }
    }
    return nearest;
  }

  // The concepts at the other ends of the pick's arrows, with what their labels say; the way only if it varies.
  function farEnds() {
    const {shafts} = state, ends = new Map();
    const out = shafts.filter(shaft => shaft.effect.from === props.value).length, both = out && out < shafts.length;
    for (const {effect} of shafts) {
      const outward = effect.from === props.value, name = outward ? effect.to : effect.from, other = ends.get(name);
      const text = (both ? (outward ? '→' : '←') : '') + effect.text;
      const sign = other && other.sign === 'damage' ? 'damage' : effect.sign;
      ends.set(name, {text: other ? other.text + ' ' + text : text, sign});
    }
    return ends;
  }

  return {newArrows, hideUntilNew, arrived, placeArrows, shaftAt, farEnds};
}
