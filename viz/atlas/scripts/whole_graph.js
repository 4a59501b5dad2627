// The canvas beneath the dots: the whole graph, and the dots themselves while they move.
function mapCanvas(state) {
  const {props, root, canvas, plot} = state;
  let bundles = [], tones = {}, shapes = [];

  // Edges by strength and sign, so that a redraw strokes eight paths at most.
  function newOverview() {
    const sorted = new Map();
    for (const [a, b, size, sign] of JSON.parse(props.overview || '[]')) {
      const level = state.within(Math.floor(size * 4), 0, 3), key = level * 2 + (sign > 0 ? 1 : 0);
      if (!sorted.has(key)) sorted.set(key, []);
      sorted.get(key).push(a, b);
    }
    bundles = [...sorted].sort((a, b) => a[0] - b[0]);  // the strongest last, on top
  }

  function readColours() {
    const style = getComputedStyle(root);
    tones = {damage: style.getPropertyValue('--damage'), gain: style.getPropertyValue('--gain')};
  }

  // The dots as Plotly has drawn them, to be drawn here while they move.
  function copyDots() {
    const dots = [...plot.querySelectorAll('.scatterlayer .point')];
    shapes = dots.map(dot => [new Path2D(dot.getAttribute('d')), getComputedStyle(dot).fill]);
  }

  function paint(W, H) {
    const scale = Math.min(devicePixelRatio || 1, 2), w = Math.round(W * scale), h = Math.round(H * scale);
    const {px, py, shafts} = state;
    if (!bundles.length && !state.move && !canvas.dataset.used) return;
    canvas.dataset.used = 'yes';
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const pen = canvas.getContext('2d');
    pen.setTransform(scale, 0, 0, scale, 0, 0); pen.clearRect(0, 0, W, H);
    for (const [key, ends] of bundles) {
      const level = key >> 1;
      pen.strokeStyle = key & 1 ? tones.damage : tones.gain; pen.lineWidth = .6 + level * .35;
      pen.globalAlpha = (.05 + level * .05) * (shafts.length ? .6 : 1);
      pen.beginPath();
      for (let k = 0; k < ends.length; k += 2) {
        const x0 = px[ends[k]], y0 = py[ends[k]], x1 = px[ends[k + 1]], y1 = py[ends[k + 1]];
        if ((x0 < 0 && x1 < 0) || (x0 > W && x1 > W) || (y0 < 0 && y1 < 0) || (y0 > H && y1 > H)) continue;
        pen.moveTo(x0, y0); pen.lineTo(x1, y1);
      }
      pen.stroke();
    }
    if (!state.move) return;
    pen.globalAlpha = shafts.length ? .38 : 1;
    shapes.forEach(([path, fill], i) => {
      pen.setTransform(scale, 0, 0, scale, px[i] * scale, py[i] * scale); pen.fillStyle = fill; pen.fill(path);
    });
  }

  return {newOverview, readColours, copyDots, paint};
}
