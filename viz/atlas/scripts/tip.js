// What is known of what the pointer is on, beside it: words, and of a concept its pictures before and after.
function mapTip(state, {stamp, storyOf}) {
  const {root, stage, tip} = state, ACROSS = 64;  // pixels
  const [before, after] = tip.querySelectorAll('canvas'), words = tip.querySelector('.words');
  let shown = null;

  function sentence(effect) { return effect.say || `${effect.from} → ${effect.to}: ${effect.text}`; }

  // What is known of an arrow {shaft} or a concept {dot}, beside the point (x, y); null hides it.
  function hint(target, x, y) {
    if (shown && shown.shaft) shown.shaft.g.classList.remove('hot');
    shown = target; tip.hidden = !target; root.classList.toggle('told', !!(target && target.dot));
    if (!target) return;
    if (target.shaft) target.shaft.g.classList.add('hot');
    fill(target);
    const w = tip.offsetWidth, h = tip.offsetHeight, reach = target.dot ? state.radiusOf(target.dot) + 8 : 14;
    tip.style.left = state.within(x - w / 2, 4, stage.clientWidth - w - 4) + 'px';
    tip.style.top = (y - h - reach < 4 ? y + reach + 4 : y - h - reach) + 'px';
  }

  function fill({shaft, dot}) {
    const story = dot ? storyOf(dot) : {before: null, after: null, said: ''};
    draw(before, story.before); draw(after, story.after);
    const own = shaft ? sentence(shaft.effect) : state.texts[state.index.get(dot)];
    words.textContent = story.said ? own + '\n' + story.said : own;
  }

  function draw(canvas, tile) {
    canvas.hidden = !tile;
    if (!tile) return;
    const scale = Math.min(devicePixelRatio || 1, 2), pen = canvas.getContext('2d');
    canvas.width = canvas.height = ACROSS * scale;
    pen.scale(scale, scale);
    stamp(pen, tile, ACROSS / 2, ACROSS / 2, ACROSS, state.isDark());
  }

  return {hint, sentence};
}
