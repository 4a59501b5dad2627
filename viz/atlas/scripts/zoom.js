// Nearer and further away without a wheel: two fingers, and two buttons on a narrow page. One finger scrolls the page.
function mapZoom(state, {hint}) {
  const {root, stage, plot} = state, STEP = 1.6, CLOSEST = 12;
  let pinch = null, frame = 0;  // where two fingers went down, in pixels and in data, and how far apart

  function ends(touches) {
    const box = stage.getBoundingClientRect();
    const [a, b] = [...touches].map(touch => [touch.clientX - box.left, touch.clientY - box.top]);
    return {x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, apart: Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 20)};
  }

  // `share` of the width and height of `ranges` is seen, and what was at `from` (pixels) then lies at `to`.
  function view(ranges, from, to, share) {
    const {xaxis, yaxis} = plot._fullLayout, widest = state.home * 1.2;
    const along = ([low, high], size, start, end) => {
      const wide = state.within((high - low) * share, state.home / CLOSEST, widest);
      const held = low + (high - low) * start / size;
      return [held - wide * end / size, held + wide * (1 - end / size)];
    };
    const x = along(ranges[0], xaxis._length, from[0] - xaxis._offset, to[0] - xaxis._offset);
    const up = value => yaxis._length - (value - yaxis._offset);
    const y = along(ranges[1], yaxis._length, up(from[1]), up(to[1]));
    Plotly.relayout(plot, {'xaxis.range': x, 'yaxis.range': y});
  }

  function ranges() { const {xaxis, yaxis} = plot._fullLayout; return [[...xaxis.range], [...yaxis.range]]; }

  function start(event) {
    pinch = event.touches.length === 2 && plot._fullLayout ? {...ends(event.touches), ranges: ranges()} : null;
    if (pinch) { event.preventDefault(); hint(null); }
  }

  function move(event) {
    if (!pinch || event.touches.length !== 2) return;
    event.preventDefault(); event.stopPropagation();  // Plotly would take one of the fingers for a drag
    const now = ends(event.touches), was = pinch;
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => view(was.ranges, [was.x, was.y], [now.x, now.y], was.apart / now.apart));
  }

  function step(share) {
    const middle = [stage.clientWidth / 2, stage.clientHeight / 2];
    if (plot._fullLayout) view(ranges(), middle, middle, share);
  }

  function listen() {
    const [closer, further] = root.querySelectorAll('.zoom button');
    closer.addEventListener('click', () => step(1 / STEP));
    further.addEventListener('click', () => step(STEP));
    stage.addEventListener('touchstart', start, {passive: false});
    stage.addEventListener('touchmove', move, {passive: false, capture: true});
    for (const type of ['touchend', 'touchcancel']) stage.addEventListener(type, () => { pinch = null; });
  }

  return {listen};
}
