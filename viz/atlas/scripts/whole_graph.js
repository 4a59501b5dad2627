// The whole graph, beneath the pictures.
function mapWholeGraph(state) {
  const {props} = state;
  let bundles = [];

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

  function paintEdges(pen, W, H) {
    const {px, py, shafts, tones} = state;
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
  }

  return {newOverview, paintEdges};
}
