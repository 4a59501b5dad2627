// The places of the concepts: a figure of Plotly's, which draws none of them, and the ways from one layout to another.
function mapDots(state, {hint, decorate, readColours, shapeDots, refresh, newArrows, newLit}) {
  const {props, root, stage, plot, still} = state, MOVE_MS = 900;
  let own = [[], []];  // where the figure itself has its dots

  function draw() {
    if (!props.figure) return Promise.resolve();
    const figure = JSON.parse(props.figure), nodes = figure.data[0], {size, symbol} = nodes.marker;
    const narrow = state.narrow();
    state.names = nodes.customdata; state.index = new Map(state.names.map((name, i) => [name, i]));
    own = [nodes.x, nodes.y];
    state.texts = state.names.map((name, i) => plainText(nodes.text ? nodes.text[i] : name));
    const shrunk = narrow && Array.isArray(size) ? .7 : 1;
    state.dotRadius = state.names.map((_, i) => (size[i] ?? size) * shrunk / 2);
    [nodes.x, nodes.y] = goal();
    const {range} = figure.layout.xaxis;
    state.home = range[1] - range[0];
    if (!state.move || state.xs.length !== state.names.length) { [state.xs, state.ys] = goal(); settle(); }
    const palette = nodes.meta[state.isDark() ? 'dark' : 'light'];
    shapeDots(symbol, nodes.meta.colour.map(i => palette[i]));
    readColours();
    for (const axis of ['xaxis', 'yaxis']) if (plot._fullLayout) figure.layout[axis].range = plot.layout[axis].range;
    if (narrow) figure.layout.dragmode = false;  // a finger must be able to scroll past the map
    refresh(); newArrows(); newLit();
    return Plotly.react(plot, figure.data, figure.layout, {scrollZoom: !narrow, doubleClick: false,
      showSendToCloud: false, plotlyServerURL: '', displaylogo: false, displayModeBar: narrow ? false : 'hover',
      modeBarButtonsToRemove: ['select2d', 'lasso2d', 'toImage', 'autoScale2d']}).then(fit);
  }

  function fit() { state.room = roomAt(goal()); decorate(); }

  // The gap between neighbours in pixels, sideways or up, whichever is wider, when the whole map is seen; the narrowest
  // twentieth aside.
  function roomAt([xs, ys]) {
    const {xaxis, yaxis} = plot._fullLayout, u = xaxis._length / state.home, v = yaxis._length / state.home;
    const gaps = xs.map((x, i) => {
      let least = Infinity;
      for (let j = 0; j < xs.length; j++) {
        if (j !== i) least = Math.min(least, Math.max(Math.abs(xs[j] - x) * u, Math.abs(ys[j] - ys[i]) * v));
      }
      return least;
    });
    return gaps.sort((a, b) => a - b)[Math.floor(gaps.length / 20)] ?? Infinity;
  }

  // The size of the page has changed.
  function resize() {
    const full = plot._fullLayout, W = stage.clientWidth, H = stage.clientHeight;
    if (!full || !W || (full.width === W && full.height === H)) return;
    Plotly.Plots.resize(plot).then(fit).catch(() => {});
  }

  function plainText(markup) {
    return new DOMParser().parseFromString(markup.replace(/<br>/g, '\n'), 'text/html').body.textContent;
  }

  // Where the dots belong: in the layout of that name, or as the figure has them.
  function goal() {
    const places = JSON.parse(props.layouts || '{}')[props.layout];
    const fits = places && places[0].length === state.names.length;
    state.titles = fits ? places[2] ?? [] : [];
    return fits ? places.slice(0, 2) : own;
  }

  function settle() { state.move = null; root.classList.remove('moving'); }

  function travel() {
    const to = goal(), from = [state.xs, state.ys], room = state.room, began = performance.now(), mine = {};
    if (!plot._fullLayout || to[0].every((x, i) => x === from[0][i] && to[1][i] === from[1][i])) return;
    const more = roomAt(to) - room;
    state.move = mine; hint(null); root.classList.add('moving');
    const step = now => {
      if (state.move !== mine) return;
      const t = state.within((now - began) / MOVE_MS, 0, 1), eased = t < .5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2;
      [state.xs, state.ys] = t < 1 ? from.map((values, k) => values.map((v, i) => v + (to[k][i] - v) * eased)) : to;
      state.room = room + more * eased;
      if (t < 1) requestAnimationFrame(step);
      else { [plot.data[0].x, plot.data[0].y] = to; settle(); }
      decorate();
    };
    if (still.matches) step(began + MOVE_MS); else requestAnimationFrame(step);
  }

  // Bring a dot that lies outside the view to its centre.
  function reveal(name) {
    const i = state.index.get(name), full = plot._fullLayout;
    if (i === undefined || !full || !full.xaxis || !stage.clientWidth) return;
    const [x, y] = goal().map(values => values[i]), {xaxis, yaxis} = full;
    const outside = (axis, v, size) => Math.abs(axis._offset + axis.d2p(v) - size / 2) > size / 2 - 12;
    if (!outside(xaxis, x, stage.clientWidth) && !outside(yaxis, y, stage.clientHeight)) return;
    const around = (axis, v) => { const half = (axis.range[1] - axis.range[0]) / 2; return [v - half, v + half]; };
    Plotly.relayout(plot, {'xaxis.range': around(xaxis, x), 'yaxis.range': around(yaxis, y)});
  }

  return {draw, resize, travel, reveal};
}
