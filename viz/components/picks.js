// Buttons that are pressed or not. They are put in anew when others are offered; the one with the focus keeps it.
const root = element.querySelector('.picks');
const chosen = () => JSON.parse(props.value || '[]');

function mark() {
  const names = new Set(chosen());
  for (const button of root.children) button.setAttribute('aria-pressed', names.has(button.dataset.name));
}

function draw() {
  const name = root.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  root.innerHTML = props.body ?? '';  // which a tab that was never shown does not get at once
  root.setAttribute('aria-label', props.label || 'Your guess');
  mark();
  if (name !== null) [...root.children].find(button => button.dataset.name === name)?.focus();
}

root.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (!button || button.disabled) return;
  const name = button.dataset.name, old = chosen(), rest = old.filter(other => other !== name);
  props.value = JSON.stringify(old.includes(name) ? rest : [...rest, name].slice(-props.most));
  mark();
  trigger('select', {value: props.value});
});
draw();
watch(['body', 'label'], draw);
watch('value', mark);
