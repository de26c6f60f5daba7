// The images of a set, one canvas each, with a layer of coloured patches over the gray and marks on single patches.

const CELL = 8; // canvas pixels of a patch
// Seven points of matplotlib's viridis: even steps of lightness, told apart with any colour vision.
const VIRIDIS = [
  [68, 1, 84], [68, 57, 131], [49, 104, 142], [33, 145, 140], [53, 183, 121], [144, 215, 67], [253, 231, 37]];

/** Colour (r, g, b) of `value` in 0...1 on the viridis scale. */
export function viridis(value) {
  const place = Math.min(1, Math.max(0, value)) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[low].map((from, channel) => Math.round(from + (place - low) * (VIRIDIS[low + 1][channel] - from)));
}

/** The scale as a CSS gradient. */
export const GRADIENT = `linear-gradient(to right, ${VIRIDIS.map((colour) => `rgb(${colour})`).join(", ")})`;

/** Colours of `values` (N) on the viridis scale between `low` and `high`: 4 N bytes. */
export function scaled(values, low, high) {
  const rgba = new Uint8ClampedArray(4 * values.length);
  values.forEach((value, i) => rgba.set([...viridis((value - low) / (high - low || 1)), 255], 4 * i));
  return rgba;
}

/**
 * One image as a canvas. `on` hears `mark(row, column)` on a click or tap, and `hover(row, column)` or `hover(null)`;
 * with `keys` the canvas takes the focus and hears `key(event)`. Returns {canvas, draw(gray image, rgba, opacity,
 * marks)}.
 */
export function panel({ h, w }, label, on, keys) {
  const canvas = document.createElement("canvas"), tile = document.createElement("canvas");
  [canvas.width, canvas.height, tile.width, tile.height] = [w * CELL, h * CELL, w, h];
  canvas.setAttribute("aria-label", label);
  canvas.setAttribute("role", keys ? "application" : "img");
  if (keys) {
    canvas.tabIndex = 0;
    canvas.addEventListener("keydown", on.key);
  }
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const place = (from, size, n) => Math.min(n - 1, Math.max(0, Math.floor(((from) / size) * n)));
    return [place(event.clientY - box.top, box.height, h), place(event.clientX - box.left, box.width, w)];
  };
  canvas.addEventListener("click", (event) => on.mark(...at(event)));
  canvas.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") on.hover(...at(event)); });
  canvas.addEventListener("pointerleave", () => on.hover(null));

  const context = canvas.getContext("2d"), layer = tile.getContext("2d");
  const frame = (patch, colour, dashed) => {
    const [x, y] = [(patch % w) * CELL, Math.floor(patch / w) * CELL];
    for (const [line, ink, dashes] of [[8, "#000", []], [4, colour, dashed ? [5, 4] : []]]) {
      context.setLineDash(dashes);
      context.lineWidth = line;
      context.strokeStyle = ink;
      context.strokeRect(x - 3, y - 3, CELL + 6, CELL + 6);
    }
  };
  return {
    canvas,
    draw(gray, rgba, opacity, marks) {
      layer.putImageData(new ImageData(rgba, w, h), 0, 0);
      context.globalAlpha = 1;
      context.imageSmoothingEnabled = true;
      context.drawImage(gray, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = opacity;
      context.imageSmoothingEnabled = false;
      context.drawImage(tile, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = 1;
      for (const { patch, colour, dashed } of marks) frame(patch, colour, dashed);
    },
  };
}
