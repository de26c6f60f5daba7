// What the reader has chosen, and its place in the page's address so that a view can be sent to somebody.

export const START = {
  set: "", fitting: "centred", threshold: null, side: null, rgb: [0, 1, 2], flips: [], scaling: "range",
  compare: "centred", opacity: 0.9, mark: null, turn: -35, tilt: 18,
};
const KEY = "pca"; // what the address begins with when it is ours
const FITTINGS = ["centred", "joint", "single"], SIDES = ["above", "below"], SCALINGS = ["range", "deviation"];
const COMPARED = ["centred", "whole"];

/** "#pca&set=ct&..." of what differs from the start. */
export function toHash(state, start = START) {
  const words = {
    set: state.set,
    fit: state.fitting,
    threshold: state.threshold === null ? "" : state.threshold.toFixed(4),
    keep: state.side ?? "",
    rgb: state.rgb.map((component) => component + 1).join(""),
    turned: state.flips.map((component) => component + 1).join(""),
    scale: state.scaling,
    like: state.compare,
    over: Math.round(100 * state.opacity),
    mark: state.mark ?? "",
    turn: Math.round(state.turn),
    tilt: Math.round(state.tilt),
  };
  const usual = { set: start.set, fit: start.fitting, rgb: "123", scale: start.scaling, like: start.compare,
    over: Math.round(100 * start.opacity), turn: start.turn, tilt: start.tilt };
  const said = Object.entries(words).filter(([name, value]) => value !== "" && value !== usual[name]);
  return `#${[KEY, ...said.map(([name, value]) => `${name}=${value}`)].join("&")}`;
}

/** What an address of ours says, as a part of a state; nothing of what it says wrongly. {} for any other address. */
export function fromHash(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  if (!words.has(KEY)) return {};
  const number = (name, low, high) => {
    const value = words.get(name) === null ? NaN : Number(words.get(name));
    return value >= low && value <= high ? value : undefined;
  };
  const among = (name, choices) => (choices.includes(words.get(name)) ? words.get(name) : undefined);
  const digits = (name, pattern) =>
    pattern.test(words.get(name) ?? "") ? [...words.get(name)].map((digit) => Number(digit) - 1) : undefined;
  const over = number("over", 0, 100);
  const found = {
    set: words.get("set") ?? undefined,
    fitting: among("fit", FITTINGS),
    threshold: number("threshold", 0, 1),
    side: among("keep", SIDES),
    rgb: digits("rgb", /^[1-6]{3}$/),
    flips: digits("turned", /^[1-6]{1,6}$/),
    scaling: among("scale", SCALINGS),
    compare: among("like", COMPARED),
    opacity: over === undefined ? undefined : over / 100,
    mark: number("mark", 0, 1e6),
    turn: number("turn", -180, 180),
    tilt: number("tilt", -90, 90),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}
