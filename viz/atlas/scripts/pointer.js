// What a person points at, and what a press picks.
function mapPointer(state, {hint, shaftAt, hideUntilNew, soon}) {
  const {props, root, stage} = state;
  let down = null, resting = null;  // where a button went down, and the last move without one

  // What a person means who points at (x, y): a dot right there, else an arrow, else the nearest dot in reach.
  function under(x, y, touch) {
    let dot = null, gap = Infinity, least = Infinity;  // in radii, so that a small dot on a large one can be hit
    state.names.forEach((name, i) => {
      const far = Math.hypot(state.px[i] - x, state.py[i] - y), radius = state.radius[i];
      if (far / radius < least) { least = far / radius; gap = far - radius; dot = name; }
    });
    if (gap <= (touch ? 6 : 2)) return {dot};
    const shaft = shaftAt(x, y, touch ? 14 : 9);
    return shaft ? {shaft} : gap <= (touch ? 20 : 12) ? {dot} : null;
  }

  function place(event) {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function pick(name) {
    if (name !== props.value) { props.value = name; hideUntilNew(); soon(); }
    state.trigger('select', {value: name});
  }

  // A click is a press without a drag. Plotly covers the page while a button is down, so the release is caught outside.
  function release(event) {
    window.removeEventListener('pointerup', release, true);
    if (!down || event.pointerId !== down.pointerId) return;
    if (Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > 8) return;
    const [x, y] = place(event), target = under(x, y, event.pointerType === 'touch');
    down = null; state.cursor = null; hint(target && target.shaft ? target : null, x, y);
    if (target && target.dot) { root.focus({preventScroll: true}); pick(target.dot); }
  }

  function press(event) {
    resting = null;
    down = event.isPrimary && event.button === 0 && !event.target.closest('.modebar') ? event : null;
    if (down) window.addEventListener('pointerup', release, true);
  }

  function hover(event) {
    if (event.pointerType === 'touch' || event.buttons) return;
    resting = event;
    const [x, y] = place(event);
    hint(event.target.closest('.modebar') ? null : under(x, y, false), x, y);
  }

  function leave(event) { if (event.pointerType !== 'touch') { resting = null; hint(null); } }

  // The view has changed beneath a pointer that rests.
  function lookAgain() { if (resting && state.cursor === null) hover(resting); }

  function listen() {
    stage.addEventListener('pointerdown', press, true);
    stage.addEventListener('pointermove', hover);
    stage.addEventListener('pointerleave', leave);
  }

  return {listen, lookAgain, pick};
}
