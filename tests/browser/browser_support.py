"""Where the dots of the map are on the page, for the browser tests."""

from __future__ import annotations

NODE_JS = """name => {
  const plot = document.querySelector('#concept-map .plot'), box = plot.getBoundingClientRect();
  const {xaxis, yaxis} = plot._fullLayout, dots = plot.data[0], i = dots.customdata.indexOf(name);
  return [box.x + xaxis._offset + xaxis.d2p(dots.x[i]), box.y + yaxis._offset + yaxis.d2p(dots.y[i])];
}"""
# The dot that stands furthest from all others, so that a click cannot hit a neighbour. Not the one already picked.
LONELY_JS = """picked => {
  const {x, y, customdata} = document.querySelector('#concept-map .plot').data[0];
  const gap = i => Math.min(...x.map((_, j) => j === i ? 9 : Math.hypot(x[i] - x[j], y[i] - y[j])));
  const others = [...customdata.keys()].filter(i => customdata[i] !== picked);
  return customdata[others.sort((a, b) => gap(b) - gap(a))[0]];
}"""
