// The patch explorer. In a notebook it is the module of an anywidget, on a page without Python the same module with a
// stand-in for the model. Everything here happens in the browser: fits, thresholds, colours, similarities.

import { colours, cosines, solver } from "./components.mjs";
import { make } from "./controls.mjs";
import { loadSet, opened } from "./files.mjs";
import { scaled } from "./panels.mjs";
import { START, fromHash, toHash } from "./state.mjs";
import { view } from "./view.mjs";

const SETTLED = 250; // ms without a change before it is kept: browsers refuse a hundred addresses in thirty seconds

/**
 * model: "sets" [{id, kind, src}] that scripts beside the page hold; or, with a kernel, "about", "features" and "norms"
 * of one set (see files.mjs). "state" is what the reader has chosen; a page keeps it in its address instead.
 */
function render({ model, el }) {
  const sets = model.get("sets") ?? [], page = sets.length > 0;
  const start = { ...START, set: sets[0]?.id ?? "" };
  let state = { ...start, ...(page ? fromHash(location.hash) : model.get("state")) };
  let set = null, solve = null, shown = null, pointed = null, frame = 0, writing = 0;

  const message = make("p", { class: "rx-message", role: "status" },
    page ? "Loading the images …" : "Choose images above and press Show.");
  const choices = sets.map(({ id }) =>
    make("input", { type: "radio", name: "rx-set", value: id, change: () => change({ set: id }) }));
  const root = make("section", { class: "radlib-explorer", "aria-label": "Patch explorer" }, message,
    ...(sets.length < 2 ? [] : [make("fieldset", { class: "rx-sets" }, make("legend", {}, "Images"),
      ...sets.map(({ kind }, place) => make("label", {}, choices[place], kind)))]));
  el.replaceChildren(root);

  const memory = new Map();
  const known = (name, inputs, work) => { // the last answer, if its inputs are the same
    const last = memory.get(name);
    if (last?.inputs.every((input, i) => input === inputs[i])) return last.answer;
    const answer = work();
    memory.set(name, { inputs, answer });
    return answer;
  };
  const schedule = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (shown) shown.draw(state, answers(), pointed);
    });
  };

  /** Take over a part of a state, or what a function makes of the present one. */
  function change(part) {
    const next = { ...state, ...(typeof part === "function" ? part(state) : part) };
    next.turn = ((((next.turn ?? start.turn) + 180) % 360) + 360) % 360 - 180;
    next.tilt = Math.max(-90, Math.min(90, next.tilt ?? start.tilt));
    const other = next.set !== state.set; // thresholds, turns and marks mean something else in other images
    state = other ? { ...next, threshold: null, side: null, flips: [], mark: null } : next;
    if (other) enter();
    else schedule();
    clearTimeout(writing);
    writing = setTimeout(() => {
      if (page) history.replaceState(history.state, "", toHash(state, start));
      else {
        model.set("state", { ...state });
        model.save_changes();
      }
    }, SETTLED);
  }

  /** Load the set that is chosen and show it in place of the last one. */
  async function enter() {
    const entry = sets.find(({ id }) => id === state.set) ?? sets[0];
    if (entry) state.set = entry.id;
    for (const choice of choices) choice.checked = choice.value === state.set;
    root.setAttribute("aria-busy", "true");
    try {
      const found = await (entry ? loadSet(entry)
        : opened(model.get("about"), model.get("features"), model.get("norms")));
      if (entry && entry.id !== state.set) return; // another was chosen meanwhile
      [set, solve, pointed] = [found, solver(found), null];
      memory.clear();
      if (state.mark >= set.norms.length) state.mark = null;
      shown?.body.remove();
      shown = view(set, {
        change,
        reset: () => change({ ...start, set: state.set }),
        point: (patch) => {
          if (patch === pointed) return;
          pointed = patch;
          schedule();
        },
        answers,
        known,
      });
      root.append(shown.body);
      message.hidden = true;
      schedule();
    } catch (error) {
      message.hidden = false;
      message.textContent = `${error.message ?? error}`;
    } finally {
      root.setAttribute("aria-busy", "false");
    }
  }

  /** What the state says of the set, each part worked out anew only if it must be. */
  function answers() {
    const { fitting, threshold, side, rgb, flips, scaling, compare } = state, { n, h, w } = set, per = h * w;
    const mark = state.mark ?? set.mark;
    const solution = known("solution", [fitting, threshold, side], () => solve({ fitting, threshold, side }));
    const coloured = known("coloured", [solution, rgb, flips, scaling],
      () => colours(solution, { rgb, flips, scaling }));
    return { mark, solution, ...coloured, ...known("similar", [mark, compare], () => {
      const alike = cosines(set, mark, compare === "centred");
      const least = alike.reduce((low, value) => Math.min(low, value), 1);
      const best = Array.from({ length: n }, (_, image) => { // in every image the patch most like the marked one
        let most = image * per === mark ? mark + 1 : image * per;
        for (let patch = image * per; patch < (image + 1) * per; patch++) {
          if (patch !== mark && alike[patch] > alike[most]) most = patch;
        }
        return most;
      });
      return { alike, least, best, shades: scaled(alike, least, 1) };
    }) };
  }

  const theme = new MutationObserver(schedule); // canvases take their ink from the theme
  theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  const follow = () => { // an address that was typed or pasted
    const said = fromHash(location.hash);
    if (!Object.keys(said).length) return;
    const before = state.set;
    state = { ...start, set: before, ...said };
    if (state.set !== before) enter();
    else schedule();
  };
  const fresh = () => { // features from the kernel
    if (!model.get("about")?.n) return;
    state = { ...state, threshold: null, mark: null };
    enter();
  };
  if (page) {
    window.addEventListener("hashchange", follow);
    enter();
  } else {
    model.on("change:about", fresh);
    fresh();
  }
  return () => {
    theme.disconnect();
    cancelAnimationFrame(frame);
    window.removeEventListener("hashchange", follow);
    model.off("change:about", fresh);
  };
}

export default { render };
