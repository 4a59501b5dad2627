// The map in the browser. Plotly draws the dots and handles zoom; labels, arrows and rings lie above it as plain HTML
// and SVG, and the whole graph beneath it on a canvas, which is many times faster than redrawing the figure and takes
// its colours from CSS in light and dark. What lies under the pointer is found from the positions of the dots, so that
// nothing above the figure needs to catch events (which would break panning) and a dot can be picked while it moves.
function atlas(element, props, trigger, watch) {
  // Gradio's base is the page's own folder, as without one; with one Plotly names its clip paths by the page's address,
  // and dots and lines vanish when that changes.
  document.querySelector('base')?.remove();
  const state = mapState(element, props, trigger), {root, plot} = state;
  let frame = 0;
  const {newOverview, readColours, copyDots, paint} = mapCanvas(state);
  const {hint, sentence} = mapTip(state);
  const {newArrows, hideUntilNew, arrived, placeArrows, shaftAt, farEnds} = mapArrows(state, {hint, sentence, soon});
  const {newLit, placeRings, placeLabels} = mapLabels(state, {soon});
  const {draw, travel, reveal} = mapDots(state, {hint, decorate, readColours, copyDots, newArrows, newLit});
  const pointer = mapPointer(state, {hint, shaftAt, hideUntilNew, soon});
  const keyboard = mapKeyboard(state, {hint, sentence, reveal, pick: pointer.pick, soon});

  function soon() { cancelAnimationFrame(frame); frame = requestAnimationFrame(decorate); }

  // Everything above and beneath the dots, as they are now.
  function decorate() {
    const full = plot._fullLayout, W = root.clientWidth, H = root.clientHeight;
    if (!full || !full.xaxis || !W) return;
    state.px = state.xs.map(x => full.xaxis._offset + full.xaxis.d2p(x));
    state.py = state.ys.map(y => full.yaxis._offset + full.yaxis.d2p(y));
    const ends = farEnds();
    root.classList.toggle('ego', state.shafts.length > 0);
    paint(W, H);
    placeArrows();
    placeRings(ends);
    placeLabels(W, H, ends);
  }

  function describe() {
    root.setAttribute('aria-label', props.label || 'Concept map. Arrow keys go from dot to dot, Enter picks.');
  }

  function followPage() {
    new ResizeObserver(() => {  // also when a tab that was hidden is shown
      const full = plot._fullLayout, W = root.clientWidth, H = root.clientHeight;
      if (full && W && (full.width !== W || full.height !== H)) Plotly.Plots.resize(plot).catch(() => {});
      soon();
    }).observe(root);
    let dark = state.isDark();
    new MutationObserver((_, observer) => {
      if (!root.isConnected) return observer.disconnect();
      if (state.isDark() !== dark) { dark = state.isDark(); draw(); }
    }).observe(document.body, {attributeFilter: ['class']});
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
    pointer.listen();
    keyboard.listen();
    followPage();
  }

  start();
  watch('value', () => { reveal(props.value); soon(); });
  watch('arrows', () => { arrived(); soon(); });
  watch('overview', () => { newOverview(); soon(); });
  watch('lit', newLit);
  watch('label_order', soon);
  watch('label', describe);
  watch(['layout', 'layouts'], travel);
  watch('figure', () => window.Plotly && draw());
}
