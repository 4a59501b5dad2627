// The words beside the pointer.
function mapTip(state) {
  const {root, tip} = state;
  let shown = null;

  function sentence(effect) { return effect.say || `${effect.from} → ${effect.to}: ${effect.text}`; }

  // What is known of an arrow {shaft} or a dot {dot}, beside the point (x, y); null hides it.
  function hint(target, x, y) {
    if (shown && shown.shaft) shown.shaft.g.classList.remove('hot');
    shown = target; tip.hidden = !target; root.classList.toggle('told', !!(target && target.dot));
    if (!target) return;
    if (target.shaft) target.shaft.g.classList.add('hot');
    tip.textContent = target.shaft ? sentence(target.shaft.effect) : state.texts[state.index.get(target.dot)];
    const w = tip.offsetWidth, h = tip.offsetHeight;
    tip.style.left = state.within(x - w / 2, 4, state.stage.clientWidth - w - 4) + 'px';
    tip.style.top = (y - h - 14 < 4 ? y + 18 : y - h - 14) + 'px';
  }

  return {hint, sentence};
}
