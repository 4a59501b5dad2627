"""How long browser tests wait, where the concepts of the map are on the page, and what is drawn there."""

from __future__ import annotations

PATIENCE_MS = 120_000  # other tests share the machine; what must be quick is timed by the tests that say so

NODE_JS = """name => {
  const plot = document.querySelector('#concept-map .plot'), box = plot.getBoundingClientRect();
  const {xaxis, yaxis} = plot._fullLayout, dots = plot.data[0], i = dots.customdata.indexOf(name);
  return [box.x + xaxis._offset + xaxis.d2p(dots.x[i]), box.y + yaxis._offset + yaxis.d2p(dots.y[i])];
}"""
# What the canvas shows in the middle of a concept: red, green, blue, opacity.
PIXEL_JS = """name => {
  const root = document.querySelector('#concept-map .stage'), plot = root.querySelector('.plot');
  const canvas = root.querySelector('canvas'), scale = canvas.width / root.clientWidth;
  const {xaxis, yaxis} = plot._fullLayout, dots = plot.data[0], i = dots.customdata.indexOf(name);
  const x = xaxis._offset + xaxis.d2p(dots.x[i]), y = yaxis._offset + yaxis.d2p(dots.y[i]);
  return [...canvas.getContext('2d').getImageData(Math.round(x * scale), Math.round(y * scale), 1, 1).data];
}"""
# The dot that stands furthest from all others, so that a click cannot hit a neighbour. Not the one already
# picked, and none at the edge, where the buttons of the figure are.
LONELY_JS = """picked => {
  const {x, y, customdata} = document.querySelector('#concept-map .plot').data[0];
  const gap = i => Math.min(...x.map((_, j) => j === i ? 9 : Math.hypot(x[i] - x[j], y[i] - y[j])));
  const inside = i => Math.max(Math.abs(x[i]), Math.abs(y[i])) < .9;
  const others = [...customdata.keys()].filter(i => customdata[i] !== picked && inside(i));
  return customdata[others.sort((a, b) => gap(b) - gap(a))[0]];
}"""
