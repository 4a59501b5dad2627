// The bar above the pictures: which face they show, said in words too, and the button that flips them while it is held.
function mapBar(state) {
  const {root, said} = state, bar = root.querySelector('.bar'), flip = bar.querySelector('.flip');
  const buttons = [...bar.querySelectorAll('[data-face]')], words = bar.querySelector('.shows');
  let waiting = 0, told = '';

  function sentence({face, title}) { return face === 'original' ? 'As the original model draws them' : title; }

  // What only a screen reader is told here, since the page says it in a sentence of its own.
  function counts({face, moved, lost, others}) {
    if (face !== 'changed' || !others) return '';
    return ` ${moved} of ${others} others changed visibly, ${lost} are no longer recognised.`;
  }

  // What is shown: {face, title, any: whether there is an edited model, pictures: whether there is any, and counts}.
  function tell(shown) {
    bar.hidden = !shown.pictures && !shown.any;
    for (const button of buttons) {
      button.setAttribute('aria-pressed', button.dataset.face === shown.face);
      button.disabled = !shown.any && button.dataset.face !== 'original';
    }
    flip.disabled = !shown.any;
    const text = sentence(shown);
    if (text + counts(shown) === told) return;
    told = text + counts(shown);
    words.textContent = text;
    const pressed = buttons.find(button => button.dataset.face === shown.face);
    clearTimeout(waiting);  // said once where batch upon batch comes in
    waiting = setTimeout(() => { if (!bar.hidden) said.textContent = `${pressed.textContent}. ${text}.${counts(shown)}`; }, 700);
  }

  function typing(target) { return !!target.closest?.('input, textarea, select, [contenteditable]'); }

  function key(event, hold) {
    if (event.key !== 'f' && event.key !== 'F') return;
    if (event.type === 'keyup') return hold(false);
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (state.stage.clientWidth && !typing(event.target)) hold(true);
  }

  function listen({turnTo, hold}) {
    for (const button of buttons) button.addEventListener('click', () => turnTo(button.dataset.face));
    flip.addEventListener('pointerdown', event => { flip.setPointerCapture(event.pointerId); hold(true); });
    for (const type of ['pointerup', 'pointercancel', 'lostpointercapture', 'blur']) {
      flip.addEventListener(type, () => hold(false));
    }
    flip.addEventListener('contextmenu', event => event.preventDefault());  // what a long press opens on a phone
    flip.addEventListener('keydown', event => { if (event.key === ' ' || event.key === 'Enter') hold(true); });
    flip.addEventListener('keyup', event => { if (event.key === ' ' || event.key === 'Enter') hold(false); });
    for (const type of ['keydown', 'keyup']) document.addEventListener(type, event => key(event, hold));
    window.addEventListener('blur', () => hold(false));
  }

  return {tell, listen};
}
