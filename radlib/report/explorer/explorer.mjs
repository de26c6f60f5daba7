// The patch explorer. In a notebook it is the module of an anywidget, on a page without Python the same module with a
// stand-in for the model. Everything here happens in the browser: fits, thresholds, colours, similarities.

import { colours, cosines, solver } from "./components.mjs";
import { controls, make } from "./controls.mjs";
import { csv, download, loadSet, npy, opened, png } from "./files.mjs";
import { GRADIENT, panel, scaled } from "./panels.mjs";
import { scatterPlot } from "./scatter.mjs";
import { START, fromHash, toHash } from "./state.mjs";

const MARKED = "#ffffff", ALIKE = "#ffd23f", POINTED = "#8ecbff"; // frames: chosen, most alike, under the pointer

/**
 * model: "sets" [{id, kind, src}] that scripts beside the page hold; or, with a kernel, "about",
 * "features" and "norms" of one set (see files.mjs). "state" is what the reader has chosen.
 */
function render({ model, el }) {
  const sets = model.get("sets") ?? [], page = sets.length > 0; // a page keeps its state in the address, a kernel in the model
  const start = { ...START, set: sets[0]?.id ?? "" };
  let state = { ...start, ...(page ? fromHash(location.hash) : model.get("state")) };
  let set = null, solve = null, pointed = null, stage = null, waiting = 0;
  const memory = new Map();

  const root = make("section", { class: "radlib-explorer", "aria-label": "Patch explorer" });
  const message = make("p", { class: "rx-message", role: "status" }, page ? "Loading the images …" : "Choose images above and press Show.");
  root.append(message);
  el.replaceChildren(root);

  const known = (name, inputs, work) => { // the last answer, if its inputs are the same
    const last = memory.get(name);
    if (last?.inputs.every((input, i) => input === inputs[i])) return last.answer;
    const answer = work();
    memory.set(name, { inputs, answer });
    return answer;
  };
  const change = (part) => {
    const next = { ...state, ...(typeof part === "function" ? part(state) : part) };
    if (next.turn !== null) next.turn = ((((next.turn + 180) % 360) + 360) % 360) - 180;
    next.turn ??= start.turn;
    next.tilt = Math.max(-90, Math.min(90, next.tilt ?? start.tilt));
    const other = next.set !== state.set;
    state = other ? { ...next, threshold: null, side: null, flips: [], mark: null } : next;
    if (other) enter();
    else schedule();
    keep();
  };
  let writing = 0;
  const keep = () => { // not at every step of a slider: browsers refuse more than a hundred addresses in thirty seconds
    clearTimeout(writing);
    writing = setTimeout(() => {
      if (page) history.replaceState(history.state, "", toHash(state, start));
      else {
        model.set("state", { ...state });
        model.save_changes();
      }
    }, 250);
  };
  const schedule = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; draw(); }); };
  const point = (patch) => { if (patch !== pointed) { pointed = patch; schedule(); } };

  async function enter() {
    const entry = sets.find(({ id }) => id === state.set) ?? sets[0];
    if (entry) state.set = entry.id;
    root.setAttribute("aria-busy", "true");
    try {
      const found = entry ? await loadSet(entry) : await opened(model.get("about"), model.get("features"), model.get("norms"));
      if (entry && entry.id !== state.set) return; // another was chosen meanwhile
      [set, pointed] = [found, null];
      solve = solver(set);
      memory.clear();
      if (state.mark !== null && state.mark >= set.norms.length) state.mark = null;
      stage = build();
      message.hidden = true;
      schedule();
    } catch (error) {
      message.hidden = false;
      message.textContent = `${error.message ?? error}`;
    } finally {
      root.setAttribute("aria-busy", "false");
    }
  }

  /** The page's parts for the set at hand; the choice of sets stays where it is, and so does the focus on it. */
  function build() {
    const { n, h, w, names } = set, per = h * w;
    const grid = (words, keys) => names.map((name, image) => panel(set, `Image ${image + 1} of ${n}, ${name}: ${words}`, {
      mark: (row, column) => change({ mark: image * per + row * w + column }),
      hover: (row, column) => point(row === null ? null : image * per + row * w + column),
      key: (event) => move(event, image),
    }, keys));
    const parts = {
      coloured: grid("patches in the colours of their components; arrow keys move the mark, Enter marks the patch most alike", true),
      alike: grid("cosine similarity of every patch to the marked one", false),
      best: names.map(() => make("span")),
      plot: scatterPlot({ turn: (turn, tilt) => change({ turn, tilt }), mark: (mark) => change({ mark }), hover: point }),
      form: controls(change),
      scale: [make("span"), make("span")],
      said: make("output", { class: "rx-said" }),
      under: make("span", { class: "rx-under", "aria-hidden": "true" }),
    };
    const row = (panels, captions) => make("div", { class: "rx-row", style: `--rx-n: ${n}` },
      ...panels.map(({ canvas }, image) => make("div", { class: "rx-image" }, canvas, make("small", {}, captions[image]))));
    const button = (words, click) => make("button", { type: "button", click }, words);
    const megabytes = (set.half.byteLength / 1e6).toFixed(1);
    const actions = make("div", { class: "rx-actions" },
      button("Reset", () => { change({ ...start, set: state.set, rgb: [...start.rgb], flips: [] }); }),
      make("span", { class: "rx-label" }, "Download"),
      button("picture (PNG)", async () => download(`${set.id}-pca.png`, await png(parts.coloured.map(({ canvas }) => canvas)))),
      button("patches (CSV)", () => download(`${set.id}-patches.csv`, csv(set, ...now().slice(0, 3)))),
      button(`features (NPY, ${megabytes} MB)`, () => download(`${set.id}-features.npy`, npy(set))));
    const body = make("div", { class: "rx-body" },
      make("p", { class: "rx-source" }, make("strong", {}, `${set.kind}: ${set.title}`), `, ${set.source}. `, set.note),
      make("figure", {}, make("figcaption", {}, "Patches in the colours of three components"), row(parts.coloured, names)),
      make("figure", {}, make("figcaption", {}, "Cosine similarity to the marked patch ",
        make("span", { class: "rx-scale" }, parts.scale[0], make("i", { style: `background: ${GRADIENT}` }), parts.scale[1])),
      row(parts.alike, parts.best)),
      make("p", { class: "rx-line" }, parts.said, parts.under),
      make("div", { class: "rx-below" },
        make("figure", { class: "rx-space" }, make("figcaption", {}, "Kept patches as points; drag to turn, click to mark"),
          parts.plot.canvas, parts.form.view),
        parts.form.form),
      actions);
    root.querySelector(".rx-body")?.remove();
    root.append(body);
    for (const radio of root.querySelectorAll("input[name=rx-set]")) radio.checked = radio.value === state.set;
    return parts;
  }

  function move(event, image) {
    const { h, w } = set, per = h * w, mark = marked(), here = Math.floor(mark / per) === image;
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (!step) {
      const best = mostAlike(now()[2], image);
      change({ mark: best });
      return;
    }
    const [row, column] = [Math.floor((mark % per) / w), mark % w].map((place, axis) =>
      Math.max(0, Math.min([h, w][axis] - 1, place + (here ? step[axis] : 0))));
    change({ mark: image * per + row * w + column });
  }

  const marked = () => state.mark ?? set.mark;
  const mostAlike = (alike, image) => {
    const per = set.h * set.w;
    let best = image * per;
    for (let patch = best; patch < (image + 1) * per; patch++) {
      if (patch !== marked() && (alike[patch] > alike[best] || best === marked())) best = patch;
    }
    return best;
  };
  const now = () => {
    const { fitting, threshold, side, rgb, flips, scaling, compare } = state;
    const solution = known("solution", [solve, fitting, threshold, side], () => solve({ fitting, threshold, side }));
    const { rgba, unit } = known("colours", [solution, rgb, flips, scaling], () => colours(solution, { rgb, flips, scaling }));
    const alike = known("alike", [set, marked(), compare], () => cosines(set, marked(), compare === "centred"));
    return [solution, rgba, alike, unit];
  };

  function draw() {
    if (!stage) return;
    const [solution, rgba, alike, unit] = now(), { n, h, w } = set, per = h * w, mark = marked();
    const ink = getComputedStyle(root).color, ground = getComputedStyle(stage.plot.canvas).backgroundColor;
    const least = known("least", [alike], () => alike.reduce((low, value) => Math.min(low, value), 1));
    const shades = known("shades", [alike], () => scaled(alike, least, 1));
    const best = known("best", [alike], () => [...Array(n).keys()].map((image) => mostAlike(alike, image)));
    const own = Math.floor(mark / per), { opacity, rgb, turn, tilt } = state;
    const marks = known("marks", [best, mark, pointed], () => [
      ...best.filter((_, image) => image !== own).map((patch) => ({ patch, colour: ALIKE })),
      { patch: mark, colour: MARKED }, ...(pointed === null ? [] : [{ patch: pointed, colour: POINTED, dashed: true }])]);
    const panels = (row, bytes) => known(`drawn ${row}`, [stage, bytes, opacity, marks], () => {
      for (let image = 0; image < n; image++) {
        const here = marks.filter(({ patch }) => Math.floor(patch / per) === image);
        stage[row][image].draw(set.pictures[image], bytes.slice(4 * image * per, 4 * (image + 1) * per), opacity,
          here.map((one) => ({ ...one, patch: one.patch % per })));
      }
      return true;
    });
    panels("coloured", rgba);
    panels("alike", shades);
    known("plot", [stage, unit, solution, turn, tilt, ink, ground, marks], () => {
      stage.plot.draw({ unit, rgba, kept: solution.kept }, { turn, tilt, ink, ground, marks,
        names: rgb.map((component, channel) => `${"RGB"[channel]}: ${component + 1}`) });
      return true;
    });
    known("captions", [stage, best], () => {
      for (let image = 0; image < n; image++) {
        stage.best[image].textContent = image === own ? "marked here" : `best match ${alike[best[image]].toFixed(2)}`;
      }
      return true;
    });
    stage.form.sync(state, solution, ink);
    stage.scale[0].textContent = least.toFixed(2);
    stage.scale[1].textContent = "1";
    const where = (patch) => `image ${Math.floor(patch / per) + 1}, row ${Math.floor((patch % per) / w) + 1}, column ${(patch % w) + 1}`;
    const few = solution.groups.filter(({ explained }) => !explained.length).length;
    const said = few ? "Too few patches are kept for a fit; move the threshold or keep the other side."
      : `Marked: ${where(mark)}${solution.kept[mark] ? "" : ", which the threshold removes"}.`;
    if (stage.said.value !== said) stage.said.value = said;
    stage.under.textContent = pointed === null ? "" : `Under the pointer: ${where(pointed)}, cosine ${alike[pointed].toFixed(3)}.`;
  }

  if (sets.length > 1) {
    root.append(make("fieldset", { class: "rx-sets" }, make("legend", {}, "Images"), ...sets.map(({ id, kind }) =>
      make("label", {}, make("input", { type: "radio", name: "rx-set", value: id, change: () => change({ set: id }) }), kind))));
  }
  const theme = new MutationObserver(schedule); // canvases take their ink from the theme
  theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  const follow = () => {
    const said = fromHash(location.hash);
    if (!Object.keys(said).length) return;
    const other = said.set && said.set !== state.set;
    state = { ...start, rgb: [...start.rgb], ...said, set: said.set ?? state.set };
    if (other) enter();
    else schedule();
  };
  if (page) window.addEventListener("hashchange", follow);
  const fresh = () => { if (model.get("about")?.n) { state = { ...state, threshold: null, mark: null }; enter(); } };
  if (page) enter();
  else {
    model.on("change:about", fresh);
    fresh();
  }
  return () => {
    theme.disconnect();
    window.removeEventListener("hashchange", follow);
    model.off?.("change:about", fresh);
  };
}

export default { render };
