// What stands on the page for one set: two rows of images, the points, the form, files to take away.

import { controls, make } from "./controls.mjs";
import { csv, download, npy, png } from "./files.mjs";
import { GRADIENT, panel } from "./panels.mjs";
import { scatterPlot } from "./scatter.mjs";

const MARKED = "#ffffff", ALIKE = "#ffd23f", POINTED = "#8ecbff"; // frames: chosen, most alike, under the pointer
const HELP = "arrow keys move the mark, Enter marks the patch most alike";
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * The parts for `set`: {body, draw(state, answers, pointed)}. `on` has change(part of a state), reset(), point(patch or
 * null), answers() and known(name, inputs, work), which does work only when its inputs are others than before.
 */
export function view(set, on) {
  const { n, h, w, names } = set, per = h * w;
  const grid = (words, keys) => names.map((name, image) =>
    panel(set, `Image ${image + 1} of ${n}, ${name}: ${words}`, {
      mark: (row, column) => on.change({ mark: image * per + row * w + column }),
      hover: (row, column) => on.point(row === null ? null : image * per + row * w + column),
      key: (event) => move(event, image),
    }, keys));
  const coloured = grid(`patches in the colours of their components; ${HELP}`, true);
  const similar = grid("cosine similarity of every patch to the marked one", false);
  const plot = scatterPlot({
    turn: (turn, tilt) => on.change({ turn, tilt }), mark: (mark) => on.change({ mark }), hover: on.point });
  const form = controls(on.change);
  const captions = names.map(() => make("span"));
  const least = make("span"), said = make("output", { class: "rx-said" });
  const under = make("span", { class: "rx-under", "aria-hidden": "true" });

  const row = (panels, words) => make("div", { class: "rx-row", style: `--rx-n: ${n}` },
    ...panels.map(({ canvas }, image) => make("div", { class: "rx-image" }, canvas, make("small", {}, words[image]))));
  const button = (words, click) => make("button", { type: "button", click }, words);
  const scale = make("span", { class: "rx-scale" }, least, make("i", { style: `background: ${GRADIENT}` }), "1");
  const body = make("div", { class: "rx-body" },
    make("p", { class: "rx-source" }, make("strong", {}, `${set.kind}: ${set.title}`), `, ${set.source}. `, set.note),
    make("figure", {}, make("figcaption", {}, "Patches in the colours of three components"), row(coloured, names)),
    make("figure", {}, make("figcaption", {}, "Cosine similarity to the marked patch ", scale), row(similar, captions)),
    make("p", { class: "rx-line" }, said, under),
    make("div", { class: "rx-below" },
      make("figure", { class: "rx-space" },
        make("figcaption", {}, "Kept patches as points; drag to turn, click to mark"), plot.canvas, form.view),
      form.form),
    make("div", { class: "rx-actions" },
      button("Reset", on.reset),
      make("span", { class: "rx-label" }, "Download"),
      button("picture (PNG)", async () =>
        download(`${set.id}-pca.png`, await png(coloured.map(({ canvas }) => canvas)))),
      button("patches (CSV)", () => download(`${set.id}-patches.csv`, csv(set, on.answers()))),
      button(`features (NPY, ${(set.half.byteLength / 1e6).toFixed(1)} MB)`, () =>
        download(`${set.id}-features.npy`, npy(set)))));

  function move(event, image) {
    const { mark, best } = on.answers(), step = STEPS[event.key];
    if (!step && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (!step) {
      on.change({ mark: best[image] });
      return;
    }
    // from another image the mark comes over on the way
    const [row_, column] = [Math.floor((mark % per) / w), mark % w].map((place, axis) =>
      Math.max(0, Math.min([h, w][axis] - 1, place + step[axis])));
    on.change({ mark: image * per + row_ * w + column });
  }

  const where = (patch) => {
    const inside = patch % per;
    return `image ${Math.floor(patch / per) + 1}, row ${Math.floor(inside / w) + 1}, column ${(inside % w) + 1}`;
  };

  function drawRow(panels, rgba, opacity, marks) {
    panels.forEach(({ draw: drawPanel }, image) => {
      const here = marks.filter(({ patch }) => Math.floor(patch / per) === image);
      drawPanel(set.pictures[image], rgba.slice(4 * image * per, 4 * (image + 1) * per), opacity,
        here.map((one) => ({ ...one, patch: one.patch % per })));
    });
    return true;
  }

  function draw(state, { mark, solution, rgba, unit, alike, least: low, best, shades }, pointed) {
    const { opacity, turn, tilt } = state, own = Math.floor(mark / per);
    const { color: ink } = getComputedStyle(body), { backgroundColor: ground } = getComputedStyle(plot.canvas);
    const marks = on.known("marks", [best, mark, pointed], () => [
      ...best.filter((_, image) => image !== own).map((patch) => ({ patch, colour: ALIKE })),
      { patch: mark, colour: MARKED },
      ...(pointed === null ? [] : [{ patch: pointed, colour: POINTED, dashed: true }])]);
    on.known("first row", [rgba, opacity, marks], () => drawRow(coloured, rgba, opacity, marks));
    on.known("second row", [shades, opacity, marks], () => drawRow(similar, shades, opacity, marks));
    on.known("points", [unit, turn, tilt, ink, ground, marks], () => {
      const channels = state.rgb.map((component, channel) => `${"RGB"[channel]}: ${component + 1}`);
      plot.draw({ unit, rgba, kept: solution.kept }, { turn, tilt, ink, ground, marks, names: channels });
      return true;
    });
    form.sync(state, solution, ink);
    captions.forEach((caption, image) => {
      caption.textContent = image === own ? "marked here" : `best match ${alike[best[image]].toFixed(2)}`;
    });
    least.textContent = low.toFixed(2);
    const words = solution.groups.some(({ explained }) => !explained.length)
      ? "Too few patches are kept for a fit; move the threshold or keep the other side."
      : `Marked: ${where(mark)}${solution.kept[mark] ? "" : ", which the threshold removes"}.`;
    if (said.value !== words) said.value = words; // a status is read out when it changes
    under.textContent = pointed === null ? ""
      : `Under the pointer: ${where(pointed)}, cosine ${alike[pointed].toFixed(3)}.`;
  }

  return { body, draw };
}
