// Rings around dots, and their names.
function mapLabels(state, {soon}) {
  const {props, over} = state;
  const labels = new Map(), glowing = new Map();  // by name, so that what stays is not made anew
  const titles = [], RINGED = 20;  // a label is worth less than a picture with a ring
  let order = [];  // who may claim a label that nobody else needs

  function newOrder() { order = JSON.parse(props.label_order || '[]'); soon(); }

  // Candidates that light up: five times a second, so only attributes change, and labels only when others lead.
  function newLit() {
    const lit = Object.entries(JSON.parse(props.lit || '{}')).filter(([name, share]) => share > 0 && state.has(name));
    const now = new Map(lit);
    for (const [name, node] of glowing) if (!now.has(name)) { node.remove(); glowing.delete(name); }
    for (const [name, share] of lit) {
      if (!glowing.has(name)) {
        const p = state.at(name), circle = {cx: p[0] || 0, cy: p[1] || 0, r: state.radiusOf(name) + 5};
        glowing.set(name, state.make('circle', circle, state.layers.lit));
        glowing.get(name).dataset.name = name;
      }
      const level = Math.sqrt(Math.min(share, 1)), style = glowing.get(name).style;
      style.strokeOpacity = (.25 + .75 * level).toFixed(2); style.strokeWidth = (1 + 6 * level).toFixed(1) + 'px';
    }
    const leading = lit.sort((a, b) => b[1] - a[1]).slice(0, 5).map(([name]) => name);
    if (leading.join('\n') !== state.brightest.join('\n')) { state.brightest = leading; soon(); }
  }

  function placeRings(ends) {
    state.layers.rings.replaceChildren();
    const ring = (name, kind, more) => {
      const [cx, cy] = state.at(name);
      state.make('circle', {class: kind, cx, cy, r: state.radiusOf(name) + more}, state.layers.rings);
    };
    for (const [name, end] of ends) ring(name, 'end ' + end.sign, 2);
    if (state.has(props.value)) ring(props.value, 'pick', 6);
    if (state.has(state.cursor)) ring(state.cursor, 'cursor', 10);
    for (const [name, node] of glowing) {
      const [x, y] = state.at(name);
      node.setAttribute('cx', x); node.setAttribute('cy', y);
    }
  }

  // The groups of a layout in rows, at the left ends of their first rows.
  function placeTitles() {
    const now = state.move ? [] : state.titles;
    while (titles.length > now.length) titles.pop().remove();
    while (titles.length < now.length) titles.push(over.appendChild(document.createElement('span')));
    now.forEach(([text, x, y], k) => {
      titles[k].className = 'title'; titles[k].textContent = text;
      titles[k].style.left = state.xOf(x) + 'px'; titles[k].style.top = state.yOf(y) + 'px';
    });
  }

  function placeLabels(W, H, ends) {
    placeTitles();
    if (!state.move || !labels.size) chooseLabels(W, H, ends);  // while the dots move, the same labels go along
    for (const [name, {node, dx, dy}] of labels) {
      const [x, y] = state.at(name);
      node.style.left = x + dx + 'px'; node.style.top = y + dy + 'px';
    }
  }

  // The cursor, the pick, what was erased, the ends of arrows, what shines most, then, where no pictures speak for
  // themselves, the rest in their given order; a label that would collide is left out.
  function chooseLabels(W, H, ends) {
    const first = [state.cursor, props.value, ...state.erased, ...ends.keys(), ...state.brightest];
    const limit = state.narrow() ? 14 : 25;
    const boxes = [], chosen = new Set();
    for (const name of new Set([...first, ...(state.pictured ? [] : order)])) {
      if (!state.has(name) || boxes.length >= limit) continue;
      const [x, y] = state.at(name), end = ends.get(name), text = end && !state.pictured ? name + ' ' + end.text : name;
      if (x < 0 || x > W || y < 0 || y > H) continue;
      const box = freeBox(x, y, text, name, first.includes(name), boxes, W, H);
      if (!box) continue;
      boxes.push(box); chosen.add(name);
      if (!labels.has(name)) labels.set(name, {node: over.appendChild(document.createElement('span'))});
      const label = labels.get(name);
      label.dx = box[0] - x; label.dy = box[1] - y; label.node.textContent = text;
      const strong = end || name === state.cursor ? ' end' : state.brightest.includes(name) ? ' lit' : '';
      label.node.className = 'label' + (name === props.value ? ' pick' : strong);
    }
    for (const [name, {node}] of labels) if (!chosen.has(name)) { node.remove(); labels.delete(name); }
  }

  // Where the label of the dot at (x, y) fits: [middle, top, width], below or above, an important one also beside it.
  function freeBox(x, y, text, name, important, boxes, W, H) {
    const w = text.length * 6.9 + 6, r = state.radiusOf(name) + (name === props.value ? 4 : 0), side = w / 2 + r + 4;
    const inside = cx => state.within(cx, w / 2 + 2, W - w / 2 - 2);
    const spots = [[x, y + r + 4], [x, y - r - 19]];
    if (important) spots.push([x + side, y - 7], [x - side, y - 7], [x + side, y + 10], [x - side, y + 10]);
    const free = spots.map(s => [inside(s[0]), s[1], w]).filter(s => s[1] > 0 && s[1] + 15 < H &&
      !boxes.some(b => Math.abs(b[0] - s[0]) < (b[2] + w) / 2 && Math.abs(b[1] - s[1]) < 15));
    if (!state.pictured || !free.length) return free[0];
    const cost = free.map(covered), least = Math.min(...cost);
    // what changed is seen rather than read, but for what one pointed at
    if (least >= RINGED && name !== props.value && name !== state.cursor) return null;
    return free[cost.indexOf(least)];
  }

  // How many pictures a label there would cover; one with a ring counts as many.
  function covered([middle, top, width]) {
    const reach = state.side * .3;
    const near = i => Math.abs(state.px[i] - middle) < width / 2 + reach && Math.abs(state.py[i] - top - 7) < 7 + reach;
    return state.looks.reduce((sum, look, i) => sum + (near(i) ? (look.ring ? RINGED : 1) : 0), 0);
  }

  return {newOrder, newLit, placeRings, placeLabels};
}
