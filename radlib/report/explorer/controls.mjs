// The form beside the pictures: native controls with labels, and the histogram that the threshold cuts.

/** An element with attributes (functions become listeners) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const own = `rx-${Math.random().toString(36).slice(2, 8)}`; // a notebook may show two explorers
let made = 0;

function labelled(words, control, ...more) {
  control.id = `${own}-${++made}`;
  return make("div", { class: "rx-field" }, make("label", { for: control.id }, words), ...more, control);
}

function choice(words, options, change) {
  const select = make("select", { change: () => change(select.value) });
  for (const [value, text] of options) select.append(make("option", { value }, text));
  return { select, field: labelled(words, select) };
}

function slider(words, [low, high, step], input, unit = "°") {
  const range = make("input", { type: "range", min: low, max: high, step, input: () => input(Number(range.value)) });
  const output = make("output");
  const field = labelled(words, range, output);
  output.setAttribute("for", range.id);
  return { range, output, field, show: (number) => { range.value = number; output.value = `${number}${unit}`; } };
}

/**
 * The form. `change(part)` hears a part of a state. Returns {form, view, sync(state, solution, ink)}; `view` holds
 * what belongs to the points: how they are turned, and how patches are compared.
 */
export function controls(change) {
  const fitting = choice("Fitted to", [["centred", "all, each less its mean"],
    ["joint", "all as they are (the paper)"], ["single", "each image by itself"]],
  (value) => change({ fitting: value, threshold: null }));
  const scaling = choice("Colour scale", [["range", "2nd to 98th percentile"], ["deviation", "mean ± 2 deviations"]],
    (value) => change({ scaling: value }));
  const side = choice("Keep", [["", ""], ["above", "above the threshold"],
    ["below", "below the threshold"]], (value) => change({ side: value || null }));
  const compare = choice("Compare tokens", [["centred", "less image's mean"], ["whole", "as they are"]],
    (value) => change({ compare: value }));
  const threshold = slider("Threshold on component 1", [0, 1, 0.002], (value) => change({ threshold: value }));
  const rule = make("button", { type: "button", click: () => {
    change({ threshold: null });
    threshold.range.focus(); // the button goes away
  } }, "Back to Otsu's rule");
  const histogram = make("canvas", { width: 600, height: 120, role: "img", class: "rx-histogram" });
  threshold.field.classList.add("rx-wide");
  const opacity = slider("Opacity", [0, 100, 1], (value) => change({ opacity: value / 100 }), " %");
  const turn = slider("Turn", [-180, 180, 1], (value) => change({ turn: value }));
  const tilt = slider("Tilt", [-90, 90, 1], (value) => change({ tilt: value }));
  const channels = ["Red", "Green", "Blue"].map((name, channel) => {
    const select = make("select", { change: () => change(({ rgb }) => ({
      rgb: rgb.map((component, c) => (c === channel ? Number(select.value) : component)) })) });
    const turned = make("input", { type: "checkbox", "aria-label": `${name}: turned round`,
      change: () => change(({ rgb, flips }) => {
        const others = flips.filter((component) => component !== rgb[channel]);
        return { flips: turned.checked ? [...others, rgb[channel]].sort() : others };
      }) });
    const field = labelled(name, select);
    field.classList.add("rx-channel");
    field.append(make("label", { class: "rx-turned" }, turned, "turned round"));
    return { select, turned, field };
  });
  let drawn = {};
  const group = (legend, ...fields) => make("fieldset", {}, make("legend", {}, legend), ...fields);
  const form = make("form", { class: "rx-form", submit: (event) => event.preventDefault() },
    group("Fit", fitting.field),
    group("Background", histogram, threshold.field, rule, side.field),
    group("Colours", ...channels.map(({ field }) => field), scaling.field, opacity.field));
  return {
    form,
    view: make("div", { class: "rx-view" }, turn.field, tilt.field, compare.field),
    sync(state, solution, ink) {
      const { groups } = solution, [first] = groups;
      fitting.select.value = state.fitting;
      scaling.select.value = state.scaling;
      compare.select.value = state.compare;
      side.select.value = state.side ?? "";
      side.select.options[0].text = `less of the border (${groups.length > 1 ? "in each" : first.ruled})`;
      threshold.range.value = state.threshold ?? (first.threshold - first.low) / (first.high - first.low);
      threshold.output.value = cutInWords(state, groups);
      rule.hidden = state.threshold === null;
      opacity.show(Math.round(100 * state.opacity));
      turn.show(Math.round(state.turn));
      tilt.show(Math.round(state.tilt));
      channels.forEach(({ select, turned }, channel) => {
        if (!select.options.length) solution.scores.forEach((_, c) => select.append(make("option", { value: c })));
        [...select.options].forEach((option, c) => {
          const known = groups.length === 1 && first.explained.length;
          const text = known ? `${c + 1} (${(100 * first.explained[c]).toFixed(0)} %)` : `${c + 1}`;
          if (option.text !== text) option.text = text;
        });
        select.value = state.rgb[channel];
        turned.checked = state.flips.includes(state.rgb[channel]);
      });
      if (solution !== drawn.solution || ink !== drawn.ink) drawHistogram(histogram, solution, ink);
      drawn = { solution, ink };
    },
  };
}

function cutInWords({ threshold }, groups) {
  const value = groups.length === 1 ? `${groups[0].threshold.toFixed(2)} ` : "";
  if (threshold === null) return `${value}by Otsu's rule${groups.length > 1 ? ", in each image" : ""}`;
  return value || `at ${(100 * threshold).toFixed(0)} % of each image's range`;
}

const BINS = 60;

/** Component 1 of all patches: kept ones in colour, removed ones gray, a line at every fit's threshold. */
function drawHistogram(canvas, { first, kept, groups }, ink) {
  const context = canvas.getContext("2d"), { width, height } = canvas;
  const bins = [new Float64Array(BINS), new Float64Array(BINS)];
  const per = first.length / groups.reduce((sum, { images }) => sum + images.length, 0);
  for (const { images, low, high } of groups) {
    for (const image of images) for (let patch = image * per; patch < (image + 1) * per; patch++) {
      bins[kept[patch]][Math.min(BINS - 1, Math.floor(((first[patch] - low) / (high - low || 1)) * BINS))]++;
    }
  }
  const most = Math.max(...bins[0].map((n, bin) => n + bins[1][bin])), step = width / BINS;
  context.clearRect(0, 0, width, height);
  bins[0].forEach((removed, bin) => {
    const [below, above] = [bins[1][bin], removed].map((n) => (n / most) * (height - 8));
    context.fillStyle = "#2b83ba";
    context.fillRect(bin * step, height - below, step - 1, below);
    context.fillStyle = "#9a9a9a";
    context.fillRect(bin * step, height - below - above, step - 1, above);
  });
  context.fillStyle = ink;
  for (const { threshold, low, high } of groups) {
    context.fillRect(((threshold - low) / (high - low)) * width - 1.5, 0, 3, height);
  }
  const share = kept.reduce((sum, one) => sum + one, 0) / kept.length;
  canvas.setAttribute("aria-label", `Histogram of component 1 of all patches; ${(100 * share).toFixed(0)} % are kept.`);
}
