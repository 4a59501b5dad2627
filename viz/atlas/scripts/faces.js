// The three faces of the atlas: what the original model draws, what the edited one draws, and what changed.
function mapFaces(state, {load, tell, soon}) {
  const {props, root, still} = state, PLAY_MS = 1000, LIVE_MS = 300;  // until the last picture begins to turn
  const NO_EDITION = {key: null, title: '', erased: [], floor: Infinity, looks: new Map(), tiles: new Map()};
  const FADED = .25, UNKNOWN = .5;
  let original = new Map(), edition = NO_EDITION, face = 'original', held = false;
  let originals = 0, editions = 0;  // how often each was sent: what was sent later is not undone by what loads later

  // Held, the key or button turns to the other model.
  function shownFace() { return held ? (face === 'original' ? 'edited' : 'original') : face; }

  function known(name) { const look = edition.looks.get(name); return look && look[0] !== null ? look : null; }
  function hasMoved(name) { const look = known(name); return !!look && look[0] > edition.floor; }
  function isLost(name) { const look = known(name); return !!look && !!look[1]; }
  // A picture can look much the same and be taken for something else: that is shown too.
  function hasChanged(name) { return hasMoved(name) || isLost(name); }
  function isErased(name) { return edition.erased.includes(name); }
  function wasRedrawn(name) { return edition.tiles.has(name) || !!known(name); }

  // How a concept is drawn: its tile (null: a dot), how strongly, and the ring around it.
  function lookOf(name, shown) {
    const first = original.get(name) ?? null;
    if (shown === 'original') return {tile: first, alpha: 1, ring: '', width: 0};
    const changed = hasChanged(name);
    // the original's picture of a concept that moved would be a wrong one
    const tile = edition.tiles.get(name) ?? (changed ? null : first);
    if (isErased(name)) return {tile, alpha: 1, ring: 'erased', width: 2.5};
    if (shown === 'edited') return {tile, alpha: 1, ring: '', width: 0};
    if (!changed) return {tile, alpha: wasRedrawn(name) ? FADED : UNKNOWN, ring: '', width: 0};
    const [distance, lost] = known(name), more = Math.min(distance, 1);
    return {tile, alpha: 1, ring: lost ? 'lost' : 'moved', width: lost ? 2 + 3 * more : 1 + 1.5 * more};
  }

  // Draw what is so now; `before` (looks as they were) turns into it within `ms`, nearest to what was erased first.
  function refresh(before = null, ms = 0) {
    const shown = shownFace();
    state.looks = state.names.map(name => lookOf(name, shown));
    state.turns = before && !still.matches && before.length === state.looks.length ? turns(before, ms) : new Map();
    state.erased = shown === 'original' ? [] : edition.erased;
    root.dataset.face = shown;
    const others = state.names.filter(name => known(name) && !isErased(name));
    const moved = others.filter(hasMoved).length, lost = others.filter(isLost).length;
    root.dataset.changed = shown === 'original' ? 0 : moved;
    tell({face: shown, title: edition.title, any: edition !== NO_EDITION, pictures: original.size > 0,
      moved, lost, others: others.length});
    soon();
  }

  // When each concept that looks different now turns: {place: {at, was}}.
  function turns(before, ms) {
    const {xs, ys, looks} = state, centres = edition.erased.filter(state.has).map(name => state.index.get(name));
    const far = i => Math.min(...centres.map(j => Math.hypot(xs[i] - xs[j], ys[i] - ys[j])));
    const same = (a, b) => a.tile === b.tile && a.alpha === b.alpha && a.ring === b.ring && a.width === b.width;
    const order = looks.map((look, i) => [far(i), i]).filter(([, i]) => !same(before[i], looks[i]));
    order.sort((a, b) => a[0] - b[0]);
    const now = performance.now(), step = ms / Math.max(order.length - 1, 1);
    return new Map(order.map(([, i], turn) => [i, {at: now + turn * step, was: before[i]}]));
  }

  async function newOriginal() {
    const sheets = sheetsOf(props.original), mine = ++originals, urls = new Set(sheets.map(sheet => sheet.url));
    original = new Map([...original].filter(([, tile]) => urls.has(tile.url)));  // none of another model meanwhile
    refresh();
    const tiles = await load(sheets);
    if (mine !== originals) return;
    original = tiles;
    refresh();
  }

  function sheetsOf(text) { const sent = text ? JSON.parse(text) : {sheets: []}; return sent.sheets ?? [sent]; }

  async function newEdited() {
    const next = props.edited ? JSON.parse(props.edited) : null, mine = ++editions;
    const tiles = next ? await load(next.sheets) : null;
    if (mine !== editions) return;
    if (!next) { edition = NO_EDITION; face = 'original'; return refresh(); }
    const grows = next.key === edition.key;
    const before = grows ? state.looks : state.names.map(name => lookOf(name, 'original'));
    const old = grows ? edition : NO_EDITION;
    edition = {...next, looks: new Map([...old.looks, ...Object.entries(next.looks)]),
      tiles: new Map([...old.tiles, ...tiles])};
    if (grows) return refresh(before, LIVE_MS);
    // without any distance, as in mid-training or without a probe, nothing could be told from what did not change
    face = [...edition.looks.values()].some(look => look[0] !== null) ? 'changed' : 'edited';
    refresh(next.play ? before : null, PLAY_MS);
  }

  // What is told of a concept: its pictures, and in words what became of it.
  function storyOf(name) {
    const first = original.get(name) ?? null, after = edition.tiles.get(name) ?? null, look = known(name);
    const same = look && !hasChanged(name) ? ', not visibly' : '';
    const said = [isErased(name) ? 'erased' : '', look ? `moved by ${look[0].toFixed(2)}${same}` : '',
      look && look[1] && !isErased(name) ? 'no longer recognised' : ''];
    return {before: first, after, said: said.filter(text => text).join(', ')};
  }

  function turnTo(next) { if (edition !== NO_EDITION || next === 'original') { face = next; refresh(); } }

  function hold(on) { if (held !== on && edition !== NO_EDITION) { held = on; refresh(); } }

  return {newOriginal, newEdited, turnTo, hold, refresh, storyOf};
}
