// The one state of a map: the parts of the page that it is drawn in, where its dots are, and what is pointed at. Every
// other file defines one function that takes this state and what it uses of the others, and returns what they may call.
function mapState(element, props, trigger) {
  const root = element.querySelector('.cg'), part = name => root.querySelector(name), plot = part('.plot');
  const state = {
    props, trigger, root,
    stage: part('.stage'), canvas: part('canvas'), plot, over: part('.over'), tip: part('.tip'),
    said: part('.said'),
    // the concepts, in the order of the figure's dots: names, what is said of each, rows by name; radii in pixels, of
    // their dots and of what is drawn of them, which may be a tile `side` pixels wide (0: there is no room for tiles)
    names: [], texts: [], index: new Map(), dotRadius: [], radius: [], side: 0,
    // how each is drawn, and which of them are on their way there from another look; names of what was erased;
    // whether any is a picture
    looks: [], turns: new Map(), erased: [], pictured: false,
    // the width of the whole map as data, and the gap between neighbours in pixels when the whole is seen
    home: 2, room: 0,
    tones: {},  // the page's colours
    // where the dots are now, as data and in pixels; `move` is an object of its own while they move
    xs: [], ys: [], px: [], py: [], move: null,
    titles: [],  // [name, x, y] of the groups, where they have rows of their own
    shafts: [],  // the arrows that are shown
    brightest: [],  // the candidates that shine most
    cursor: null,  // the concept that the keyboard stands on
    xOf: x => plot._fullLayout.xaxis._offset + plot._fullLayout.xaxis.d2p(x),
    yOf: y => plot._fullLayout.yaxis._offset + plot._fullLayout.yaxis.d2p(y),
    at: name => [state.px[state.index.get(name)], state.py[state.index.get(name)]],
    has: name => state.index.has(name),
    radiusOf: name => state.radius[state.index.get(name)],
    narrow: () => (root.clientWidth || innerWidth) < 520,  // no width: in a hidden tab
    still: matchMedia('(prefers-reduced-motion: reduce)'),
    isDark: () => !!document.querySelector('body.dark, .dark'),
    within: (value, low, high) => Math.max(low, Math.min(value, high)),
    make(tag, attributes, parent) {  // a part of a drawing
      const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      return parent.appendChild(node);
    },
  };
  // the layers above the dots, the lowest first
  const arrows = state.make('svg', {class: 'arrows', role: 'group', 'aria-label': 'Arrows'}, state.over);
  state.layers = {
    lit: state.make('g', {class: 'lit'}, arrows),
    shafts: state.make('g', {}, arrows),
    rings: state.make('g', {}, arrows),
  };
  return state;
}
