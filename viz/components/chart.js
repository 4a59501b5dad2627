// Any Plotly figure in the browser, in the colours of the page's theme, with a click that tells what was clicked.
// Gradio's base is the page's own folder, as without one; with one Plotly names its clip paths by the page's address,
// and dots and lines vanish when that changes.
document.querySelector('base')?.remove();
const root = element.querySelector('.chart'), plot = root.querySelector('.plot');
// Names and numbers of the data: a concept may be called like a colour.
const DATA = new Set(['customdata', 'text', 'hovertext', 'hovertemplate', 'x', 'y', 'z', 'ids', 'labels', 'parents',
  'name', 'ticktext', 'tickvals', 'categoryarray']);
const isDark = () => !!document.querySelector('body.dark, .dark');
let wired = false, width = 0;

function inTheme(value) {
  const twin = colour => DARK_OF[colour.toLowerCase()] || colour;
  if (typeof value === 'string') return value.replace(/#[0-9a-f]{6}(?=[0-9a-f]{2}\b|\b)/gi, twin);
  if (Array.isArray(value)) return value.map(inTheme);
  if (!value || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, DATA.has(k) ? v : inTheme(v)]));
}

function plainText(markup) { return new DOMParser().parseFromString(markup, 'text/html').body.textContent; }

// Plotly does not wrap a title, and on a phone a claim is longer than the screen.
function wrapTitle(layout) {
  const title = layout.title, text = title && title.text;
  if (!text) return;
  const pen = document.createElement('canvas').getContext('2d'), size = (title.font && title.font.size) || 17;
  pen.font = `${size}px system-ui, sans-serif`;
  Object.assign(title, {xref: 'container', x: 8 / width, xanchor: 'left'});
  Object.assign(title, {yref: 'container', y: 1, yanchor: 'top', pad: {t: 16}});
  const lines = [''];
  for (const word of text.split(/ (?![^<]*>)/)) {
    const longer = lines.at(-1) ? lines.at(-1) + ' ' + word : word;
    if (lines.at(-1) && pen.measureText(longer.replace(/<[^>]*>/g, '')).width > width - 16) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  title.text = lines.join('<br>');
  const more = (lines.length - 1) * size * 1.3;
  layout.margin = {...layout.margin, t: ((layout.margin && layout.margin.t) ?? 100) + more}; layout.height += more;
}

function draw() {
  root.hidden = !props.figure;
  if (!props.figure) { if (wired) Plotly.purge(plot); wired = false; return; }
  if (!root.clientWidth) { width = 0; return; }  // in a hidden tab: the observer calls again when it is shown
  let {data, layout} = JSON.parse(props.figure);
  if (isDark()) { data = inTheme(data); layout = inTheme(layout); }
  width = root.clientWidth;
  const axis = name => (layout[name] && layout[name].title && layout[name].title.text) || '';
  // Zoom is kept while the figure shows the same quantities, and not carried over to another kind of figure.
  layout.uirevision ??= [...data.map(t => t.type), axis('xaxis'), axis('yaxis')].join('|');
  Object.assign(layout, {width, height: layout.height || 420, autosize: false});
  root.setAttribute('aria-label', props.label || plainText(layout.title && layout.title.text || ''));
  wrapTitle(layout);
  if (width < 520) layout.dragmode = false;  // a finger must be able to scroll past the figure
  plot.style.height = layout.height + 'px';
  Plotly.react(plot, data, layout, {
    doubleClick: 'reset', showSendToCloud: false, plotlyServerURL: '', displaylogo: false,
    displayModeBar: width < 520 ? false : 'hover', modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d'],
  });
  root.dataset.drawn = Number(root.dataset.drawn || 0) + 1;
  if (wired) return;
  wired = true;
  plot.on('plotly_click', event => {
    const point = event.points.find(p => p.customdata !== undefined && p.customdata !== null);
    if (!point) return;
    props.value = JSON.stringify(point.customdata); trigger('select', {value: props.value});
  });
}

function start() {
  if (!window.Plotly) return setTimeout(start, 50);
  draw();
  new ResizeObserver(() => { if (root.clientWidth && root.clientWidth !== width) draw(); }).observe(root);
  let dark = isDark();
  new MutationObserver((_, observer) => {
    if (!root.isConnected) return observer.disconnect();
    if (isDark() !== dark) { dark = isDark(); draw(); }
  }).observe(document.body, {attributeFilter: ['class']});
}
start();
watch(['figure', 'label'], () => window.Plotly && draw());
