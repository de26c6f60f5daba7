// Patches as points in the space of the three components shown, turned by drag, keys or sliders.

const SIZE = 640, DEGREE = Math.PI / 180, REACH = 1.35; // canvas pixels; half a side in units of the colour scale
const CLICK = 5; // CSS pixels a pointer may move and still click

/**
 * A scatter plot. `on` hears `turn(turn, tilt)` in degrees (null: as at first), `mark(patch)`, `hover(patch or null)`.
 * Returns {canvas, draw(points, look)}: points {unit (3 columns of N), rgba (4 N), kept (N)}; look {turn, tilt, names
 * (3), marks, and the theme's ink and ground}.
 */
export function scatterPlot(on) {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  canvas.width = canvas.height = SIZE;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Patches as points; arrow keys turn them, Home turns them back");
  const picture = new ImageData(SIZE, SIZE), pixels = new Uint32Array(picture.data.buffer);
  let shown = [], look = { turn: 0, tilt: 0 }, drag = null;

  const nearest = (event) => {
    const box = canvas.getBoundingClientRect(), scale = SIZE / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = null, least = (14 * scale) ** 2;
    for (const point of shown) {
      const apart = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (apart < least || (apart === least && best)) [best, least] = [point, apart];
    }
    return best?.patch ?? null;
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag = { x: event.clientX, y: event.clientY, turn: look.turn, tilt: look.tilt, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) {
      if (event.pointerType !== "touch") on.hover(nearest(event));
      return;
    }
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    drag.moved ||= Math.hypot(dx, dy) > CLICK;
    if (drag.moved) on.turn(drag.turn + dx * 0.6, drag.tilt + dy * 0.6);
  });
  canvas.addEventListener("pointerup", (event) => {
    const patch = drag && !drag.moved ? nearest(event) : null;
    drag = null;
    if (patch !== null) on.mark(patch);
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => on.hover(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, -5], ArrowDown: [0, 5] }[event.key];
    if (!step && event.key !== "Home") return;
    event.preventDefault();
    if (step) on.turn(look.turn + step[0], look.tilt + step[1]);
    else on.turn(null, null);
  });

  return {
    canvas,
    draw({ unit, rgba, kept }, now) {
      look = now;
      const [ca, sa] = [Math.cos(look.turn * DEGREE), Math.sin(look.turn * DEGREE)];
      const [cb, sb] = [Math.cos(look.tilt * DEGREE), Math.sin(look.tilt * DEGREE)];
      const project = (x, y, z) => {
        const [right, deep] = [ca * x + sa * y, ca * y - sa * x];
        const [up, depth] = [cb * z - sb * deep, cb * deep + sb * z];
        const zoom = (SIZE / 2 / REACH / 1.25) * (1 - 0.12 * depth);
        return { x: SIZE / 2 + right * zoom, y: SIZE / 2 - up * zoom, depth };
      };
      shown = [];
      for (let patch = 0; patch < kept.length; patch++) {
        if (!kept[patch] || Number.isNaN(unit[0][patch])) continue;
        const [x, y, z] = unit.map((column) => Math.min(REACH, Math.max(-REACH, 2 * column[patch] - 1)));
        shown.push({ patch, ...project(x, y, z) });
      }
      shown.sort((one, other) => other.depth - one.depth);
      // squares written by hand: filling each with a colour of its own would take most of the time
      const colour = new Uint32Array(rgba.buffer);
      pixels.fill(0);
      for (const { patch, x, y, depth } of shown) {
        const size = Math.round(6 - 1.5 * depth), left = Math.round(x - size / 2), top = Math.round(y - size / 2);
        for (let row = Math.max(0, top); row < Math.min(SIZE, top + size); row++) {
          pixels.fill(colour[patch], row * SIZE + Math.max(0, left), row * SIZE + Math.min(SIZE, left + size));
        }
      }
      context.putImageData(picture, 0, 0);
      letters(context, look.ink);
      if (shown.length) drawAxes(context, project, look);
      else context.fillText("Too few patches are kept.", SIZE / 2, SIZE / 2);
      for (const { patch, colour } of look.marks) {
        const point = shown.find((one) => one.patch === patch);
        if (!point) continue;
        for (const [line, ink] of [[6, "#000"], [3, colour]]) {
          context.lineWidth = line;
          context.strokeStyle = ink;
          context.strokeRect(point.x - 8, point.y - 8, 16, 16);
        }
      }
    },
  };
}

function letters(context, ink) {
  context.font = "22px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = ink;
}

function drawAxes(context, project, { names, ink, ground }) {
  context.lineJoin = "round";
  const middle = project(0, 0, 0);
  [[1, 0, 0], [0, 1, 0], [0, 0, 1]].forEach(([x, y, z], axis) => {
    const from = project(-REACH * x, -REACH * y, -REACH * z), to = project(REACH * x, REACH * y, REACH * z);
    const [left, top] = [to.x + (to.x - middle.x) * 0.07, to.y + (to.y - middle.y) * 0.07];
    context.lineWidth = 1.5;
    context.strokeStyle = ink;
    context.globalAlpha = 0.6;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    context.globalAlpha = 1;
    context.lineWidth = 6;
    context.strokeStyle = ground;
    context.strokeText(names[axis], left, top);
    context.fillText(names[axis], left, top);
  });
}
