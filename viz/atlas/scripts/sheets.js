// Sheets of pictures: each is loaded once and its white grounds are cut out once; tiles are found by names of concepts.
function mapSheets(state) {
  const loaded = new Map();  // by address, the one that was asked for last at the end
  const KEPT = 64;  // of those that are not shown now, for whoever turns back: half a megabyte each
  const beside = new Map();  // by side of a tile: which pixels each pixel touches
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
    const near = touching(side), white = near.map((_, i) => data[4 * i + 3] === 0 || least(data, i) >= WHITE);
    if (near.every((_, i) => data[4 * i + 3] === 0)) return false;
    const open = near.map((others, i) => white[i] && others.every(j => white[j]));
    const gone = new Uint8Array(side * side), reached = [];
    const reach = i => { gone[i] = 1; reached.push(i); };
    near.forEach((others, i) => { if (others.length < 8 && open[i]) reach(i); });  // the border
    for (let k = 0; k < reached.length; k++) for (const j of near[reached[k]]) if (open[j] && !gone[j]) reach(j);
    for (const i of reached.slice()) for (const j of near[i]) if (white[j] && !gone[j]) reach(j);
    if (reached.length > .997 * near.length) return true;  // a white picture is a picture, too
    for (const i of reached) {
      data[4 * i + 3] = 0;
      for (const j of near[i]) if (!gone[j]) { gone[j] = 1; soften(data, j); }
    }
    return true;
  }

  function least(data, i) { return Math.min(data[4 * i], data[4 * i + 1], data[4 * i + 2]); }

  // A pixel at the edge is picture and ground mixed: take the white out of it.
  function soften(data, i) {
    const share = state.within((255 - least(data, i)) / (255 - INK), .04, 1);
    for (let k = 0; k < 3; k++) data[4 * i + k] = 255 + (data[4 * i + k] - 255) / share;
    data[4 * i + 3] = 255 * share;
  }

  function touching(side) {
    if (!beside.has(side)) {
      beside.set(side, Array.from({length: side * side}, (_, i) => {
        const x = i % side, y = (i - x) / side, others = [];
        for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, side - 1); v++) {
          for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, side - 1); u++) {
            if (u !== x || v !== y) others.push(v * side + u);
          }
        }
        return others;
      }));
    }
    return beside.get(side);
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
