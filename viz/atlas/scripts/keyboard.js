// The map without a pointer: a cursor that goes from concept to concept.
function mapKeyboard(state, {hint, sentence, storyOf, reveal, pick, soon}) {
  const {props, root, stage} = state;
  const WAYS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

  // The cursor goes to the nearest dot in the arrow's direction, and Enter picks it.
  function walk([dx, dy]) {
    const {px, py} = state, middle = [stage.clientWidth / 2, stage.clientHeight / 2];
    const from = state.index.get(state.cursor ?? props.value);
    const [x, y] = from === undefined ? middle : [px[from], py[from]];
    let best = null, least = Infinity;
    state.names.forEach((name, i) => {
      const along = (px[i] - x) * dx + (py[i] - y) * dy, aside = Math.abs((px[i] - x) * dy + (py[i] - y) * dx);
      const cost = along + 2 * aside;
      if (i !== from && along > 0 && aside <= along && cost < least) { least = cost; best = name; }
    });
    if (best === null) return;
    state.cursor = best; hint(null); reveal(best); soon();
    const shaft = state.shafts.find(({effect}) => best === effect.to || best === effect.from);
    const told = [best, storyOf(best).said, shaft && best !== props.value ? sentence(shaft.effect) : ''];
    state.said.textContent = told.filter(text => text).join('. ');
  }

  function key(event) {
    const way = WAYS[event.key], here = event.target === root, enter = event.key === 'Enter' || event.key === ' ';
    const seen = state.shafts.filter(shaft => shaft.line.length), k = seen.findIndex(({g}) => g === event.target);
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (way && k >= 0) seen[(k + way[0] + way[1] + seen.length) % seen.length].g.focus();
    else if (way && here) walk(way);
    else if (enter && here) { if (state.cursor !== null) pick(state.cursor); state.cursor = null; soon(); }
    else if (event.key === 'Escape') { state.cursor = null; hint(null); soon(); return; }
    else return;
    event.preventDefault();
  }

  function listen() {
    root.addEventListener('keydown', key);
    root.addEventListener('blur', () => { state.cursor = null; soon(); });
  }

  return {listen};
}
