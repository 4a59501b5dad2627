// Sheets of pictures: each is loaded once and its white grounds are cut out once; tiles are found by names of concepts.
function mapSheets(state) {
  const loaded = new Map();  // by address, the one that was asked for last at the end
  const KEPT = 64;  // of those that are not shown now, for whoever turns back: half a megabyte each
  const PAD = 2;  // pixels around a tile, for its outline in the dark, and so that no neighbour shines in
  const WHITE = 250, INK = 190;  // the least channel from which a pixel is ground; up to which it is picture alone

  // The tiles of all these sheets by name, later sheets above earlier ones; a sheet that cannot be had gives none.
  async function load(sheets) {
    const all = Promise.all(sheets.map(sheet => {
      const tiles = loaded.get(sheet.url) || fetched(sheet);
      loaded.delete(sheet.url);
      loaded.set(sheet.url, tiles);
      return tiles.catch(() => { loaded.delete(sheet.url); return []; });
    }));
    for (const url of loaded.keys()) {
      if (loaded.size <= KEPT + sheets.length) break;
      loaded.delete(url);
    }
    return new Map((await all).flat());
  }

  async function fetched(sheet) {
    const image = new Image();
    image.src = sheet.url;
    await image.decode();
    return tilesOf(image, sheet);
  }

  function blank(width, height) { return Object.assign(document.createElement('canvas'), {width, height}); }

  // [name, tile] of each place that the image holds; one that was cut short holds fewer.
  function tilesOf(image, {url, side, columns, places}) {
    const width = image.naturalWidth, height = image.naturalHeight, pitch = side + 2 * PAD;
    const pixels = blank(width, height).getContext('2d', {willReadFrequently: true});
    pixels.drawImage(image, 0, 0);
    const corner = place => [place % columns, Math.floor(place / columns)];
    const held = Object.entries(places).filter(([, place]) => {
      const [column, row] = corner(place);
      return place >= 0 && (column + 1) * side <= width && (row + 1) * side <= height;
    });
    const rows = Math.max(1, ...held.map(([, place]) => corner(place)[1] + 1));
    const light = blank(columns * pitch, rows * pitch), pen = light.getContext('2d'), tiles = [];
    const picture = {light, dark: null};
    for (const [name, place] of held) {
      const [column, row] = corner(place), image = pixels.getImageData(column * side, row * side, side, side);
      if (!cutOut(image.data, side)) continue;
      pen.putImageData(image, column * pitch + PAD, row * pitch + PAD);
      tiles.push([name, {url, picture, x: column * pitch, y: row * pitch, pitch, side}]);
    }
    return tiles;
  }

  // Make the ground see-through: what is nearly white and reached from the border, but not through a gap of a pixel or
  // two, so that a white rabbit keeps its inside. False where there is no picture at all.
  function cutOut(data, side) {
    const wide = side + 2;  // a frame of a pixel, so that each pixel of the picture has eight around it
    const around = [-wide - 1, -wide, 1 - wide, -1, 1, wide - 1, wide, wide + 1];
    const white = new Uint8Array(wide * wide).fill(1), reached = [];
    const left = new Uint8Array(wide * wide);  // the pixels of the picture that are not ground
    let empty = true;
    for (let y = 1; y <= side; y++) for (let x = 1; x <= side; x++) {
      const at = y * wide + x, from = 4 * ((y - 1) * side + x - 1), clear = data[from + 3] === 0;
      empty &&= clear; left[at] = 1;
      white[at] = clear || least(data, from) >= WHITE;
    }
    if (empty) return false;
    const reach = at => { left[at] = 0; reached.push(at); };
    const three = at => white[at - 1] & white[at] & white[at + 1];
    const open = at => three(at - wide) & three(at) & three(at + wide);
    for (let k = 1; k <= side; k++) {  // the border
      for (const at of [wide + k, side * wide + k, k * wide + 1, k * wide + side]) if (left[at] && open(at)) reach(at);
    }
    for (let k = 0; k < reached.length; k++) {
      for (const step of around) { const at = reached[k] + step; if (left[at] && open(at)) reach(at); }
    }
    for (const one of reached.slice()) {
      for (const step of around) if (left[one + step] && white[one + step]) reach(one + step);
    }
    if (reached.length > .997 * side * side) return true;  // a white picture is a picture, too
    const colour = at => 4 * ((Math.floor(at / wide) - 1) * side + at % wide - 1);  // where `data` has it
    for (const one of reached) {
      data[colour(one) + 3] = 0;
      for (const step of around) if (left[one + step]) { left[one + step] = 0; soften(data, colour(one + step)); }
    }
    return true;
  }

  function least(data, from) { return Math.min(data[from], data[from + 1], data[from + 2]); }

  // A pixel at the edge is picture and ground mixed: take the white out of it.
  function soften(data, from) {
    const share = state.within((255 - least(data, from)) / (255 - INK), .04, 1);
    for (let k = from; k < from + 3; k++) data[k] = 255 + (data[k] - 255) / share;
    data[from + 3] = 255 * share;
  }

  // The canvas to draw a tile from; on a dark page one with a faint light line around every picture.
  function source({picture}, dark) {
    if (!dark) return picture.light;
    if (!picture.dark) {
      picture.dark = blank(picture.light.width, picture.light.height);
      const pen = picture.dark.getContext('2d');
      pen.shadowColor = 'rgb(255 255 255 / .75)'; pen.shadowBlur = 2;
      pen.drawImage(picture.light, 0, 0);
    }
    return picture.dark;
  }

  // Draw a tile `across` pixels wide with its middle at (x, y).
  function stamp(pen, tile, x, y, across, dark) {
    const d = across * tile.pitch / tile.side;
    pen.drawImage(source(tile, dark), tile.x, tile.y, tile.pitch, tile.pitch, x - d / 2, y - d / 2, d, d);
  }

  return {load, stamp};
}
