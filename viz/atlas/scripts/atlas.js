// The atlas in the browser. Plotly has the axes and handles pan and zoom, and draws none of the concepts. What is seen of
// them, pictures or dots, is drawn on a canvas beneath, as is the whole graph: many times faster than a redraw of a
// figure with dots, and its colours come from CSS in light and dark. Labels, arrows and rings lie above as plain
// HTML and SVG. What lies under the pointer is found from the places of the concepts, so that nothing above the figure
// needs to catch events (which would break panning) and a concept can be picked while it moves.
function atlas(element, props, trigger, watch) {
  // Gradio's base is the page's own folder, as without one; with one Plotly names its clip paths by the page's address,
  // and dots and lines vanish when that changes.
  document.querySelector('base')?.remove();
  const state = mapState(element, props, trigger), {root, stage, plot} = state;
  let frame = 0, viewed = false;  // whether the view has changed since the last frame
  const {newOverview, paintEdges} = mapWholeGraph(state);
  const {load, stamp} = mapSheets(state);
  const {readColours, shapeDots, measure, paint} = mapTiles(state, {paintEdges, stamp, soon});
  const bar = mapBar(state);
  const {newOriginal, newEdited, turnTo, hold, refresh, storyOf} = mapFaces(state, {load, tell: bar.tell, soon});
  const {hint, sentence} = mapTip(state, {stamp, storyOf});
  const {newArrows, hideUntilNew, arrived, placeArrows, shaftAt, farEnds} = mapArrows(state, {hint, sentence, soon});
  const {newOrder, newLit, placeRings, placeLabels} = mapLabels(state, {soon});
  const {draw, resize, travel, reveal} = mapDots(state,
    {hint, decorate, readColours, shapeDots, refresh, newArrows, newLit});
  const pointer = mapPointer(state, {hint, shaftAt, hideUntilNew, soon});
  const zoom = mapZoom(state, {hint});
  const keyboard = mapKeyboard(state, {hint, sentence, storyOf, reveal, pick: pointer.pick, soon});

  function soon() { cancelAnimationFrame(frame); frame = requestAnimationFrame(decorate); }

  // Everything above and beneath the dots, as they are now.
  function decorate() {
    const full = plot._fullLayout, W = stage.clientWidth, H = stage.clientHeight;
    if (!full || !full.xaxis || !W) return;
    state.px = state.xs.map(state.xOf);
    state.py = state.ys.map(state.yOf);
    measure();
    const ends = farEnds();
    paint(W, H);
    placeArrows();
    placeRings(ends);
    placeLabels(W, H, ends);
    if (viewed) { viewed = false; pointer.lookAgain(); }
  }

  function describe() {
    root.setAttribute('aria-label', props.label ||
      'Map of concepts. Arrow keys go from one to the next, Enter picks, F held flips the pictures.');
  }

  function followPage() {
    new ResizeObserver(() => { resize(); soon(); }).observe(stage);  // also when a tab that was hidden is shown
    let dark = state.isDark();
    new MutationObserver((_, observer) => {
      if (!root.isConnected) return observer.disconnect();
      if (state.isDark() !== dark) { dark = state.isDark(); draw(); }
    }).observe(document.body, {attributeFilter: ['class']});
  }

  function start() {
    if (!window.Plotly) return setTimeout(start, 50);
    newOverview();
    newOrder();
    describe();
    draw().then(() => {
      for (const name of ['plotly_relayouting', 'plotly_relayout', 'plotly_afterplot']) plot.on(name, soon);
      plot.on('plotly_relayout', () => { viewed = true; });
      plot.on('plotly_relayouting', () => hint(null));
      root.dataset.ready = 'yes';
    });
    newOriginal();
    newEdited();
    pointer.listen();
    zoom.listen();
    keyboard.listen();
    bar.listen({turnTo, hold});
    followPage();
  }

  start();
  watch('value', () => { reveal(props.value); soon(); });
  watch('arrows', () => { arrived(); soon(); });
  watch('overview', () => { newOverview(); soon(); });
  watch('lit', newLit);
  watch('original', newOriginal);
  watch('edited', newEdited);
  watch('face', () => turnTo(props.face));
  watch('label_order', newOrder);
  watch('label', describe);
  watch(['layout', 'layouts'], travel);
  watch('figure', () => window.Plotly && draw());
}
