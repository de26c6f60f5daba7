// Principal components of patch features, Otsu's threshold and the rules for side and sign: the arithmetic of
// radlib/evaluate/patch_pca.py once more, quick enough to follow a slider. A test runs both on the same features.
//
// A set is {n, h, w, d, features, norms}: n images of h x w patches; features N x d (N = n h w, image after image, row
// by row), each patch's token projected on d directions; norms (N), the length of each whole token.

import { dot, eigenvectors } from "./eigenvectors.mjs";

export const COMPONENTS = 6;
const SYMMETRIC = 1e-9; // third moment of standardised scores below which their tails count as equally long
const PERCENTILES = [2, 98]; // of kept patches' scores: what becomes 0 and 1 by "range"
const REMOVED = 150; // opacity, of 255, of the black over removed patches: the image stays visible there
const DEVIATIONS = 2; // from the mean: what becomes 0 and 1 by "deviation"

/** float16 in a little-endian ArrayBuffer or view of one -> Float32Array. */
export function halves(bytes) {
  const view = new DataView(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength);
  const out = new Float32Array(view.byteLength / 2);
  const power = Array.from({ length: 32 }, (_, exponent) => 2 ** (exponent - 25));
  for (let i = 0; i < out.length; i++) {
    const bits = view.getUint16(2 * i, true), exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent === 31 ? (fraction ? NaN : Infinity)
      : exponent ? (1024 + fraction) * power[exponent] : fraction * power[1];
    out[i] = bits & 0x8000 ? -size : size;
  }
  return out;
}

/** The threshold between two of `values` that leaves least variance on both sides, half way between its neighbours. */
export function otsu(values) {
  const x = Float64Array.from(values).sort(), n = x.length;
  let mean = 0;
  for (const value of x) mean += value / n;
  let below = 0, best = -1, most = -1;
  for (let i = 0; i < n - 1; i++) {
    below += x[i] - mean;
    if (x[i + 1] > x[i]) {
      const between = below ** 2 / ((i + 1) * (n - i - 1));
      if (between > most) [most, best] = [between, i];
    }
  }
  if (best < 0) return x[0];
  const middle = x[best] + (x[best + 1] - x[best]) / 2;
  return middle < x[best + 1] ? middle : x[best];
}

/** The q-th percentile of sorted numbers, linear between neighbours. */
export function percentile(sorted, q) {
  const place = (q / 100) * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (place - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

/** +1 or -1: what turns centred scores so that their longer tail, or with tails alike the farthest, is positive. */
export function turn(scores) {
  let squares = 0, cubes = 0, farthest = 0;
  for (const score of scores) {
    squares += score * score;
    cubes += score * score * score;
    if (Math.abs(score) > Math.abs(farthest)) farthest = score;
  }
  const spread = Math.sqrt(squares / scores.length) || 1, skewness = cubes / scores.length / spread ** 3;
  return (Math.abs(skewness) > SYMMETRIC ? skewness : farthest) < 0 ? -1 : 1;
}

// Sums over some patches of one image, to which single patches can be added and from which they can be taken: a slider
// moves few patches from one side of the threshold to the other, and only their products are worked out anew.
function moments(d) {
  return { n: 0, squares: 0, sum: new Float64Array(d), products: new Float64Array(d * d) };
}

function count(into, set, patch, sign) {
  const { d, features, norms } = set, { sum, products } = into, at = patch * d;
  into.n += sign;
  into.squares += sign * norms[patch] ** 2;
  for (let i = 0; i < d; i++) {
    const value = sign * features[at + i], row = i * d;
    sum[i] += value;
    for (let j = 0; j <= i; j++) products[row + j] += value * features[at + j];
  }
}

/**
 * Squares and products about each image's own mean (`own`) or about the mean of all: {matrix (d x d), mean (of all),
 * total, between}. `total` is what the matrix's trace would be for whole tokens, `between` the share of all variance
 * that lies between the images' means.
 */
function scatter(parts, d, own) {
  const matrix = new Float64Array(d * d), sum = new Float64Array(d);
  let n = 0, squares = 0, within = 0;
  for (const part of parts) {
    if (!part.n) continue;
    n += part.n;
    squares += part.squares;
    within += part.squares - dot(part.sum, part.sum) / part.n;
    for (let i = 0; i < d; i++) sum[i] += part.sum[i];
    about(matrix, d, part.products, part.sum, own ? 1 / part.n : 0);
  }
  if (!own) about(matrix, d, null, sum, 1 / n);
  for (let i = 0; i < d; i++) for (let j = 0; j < i; j++) matrix[j * d + i] = matrix[i * d + j];
  const total = squares - dot(sum, sum) / n;
  const between = Math.max(0, 1 - within / total);
  return { matrix, mean: sum.map((value) => value / n), total: own ? within : total, between };
}

/** Add products (or nothing) less the outer product of a sum with itself, times `weight`, below the diagonal. */
function about(matrix, d, products, sum, weight) {
  for (let i = 0; i < d; i++) {
    const value = weight * sum[i];
    for (let j = 0, at = i * d; j <= i; j++, at++) matrix[at] += (products ? products[at] : 0) - value * sum[j];
  }
}

/** Scores of some patches along axes, less the mean given for each patch's image; an array of columns. */
function scoresOf(set, patches, axes, means) {
  const { d, features, h, w } = set, per = h * w;
  const shifts = means.map((mean) => axes.map((axis) => dot(axis, mean)));
  const columns = axes.map(() => new Float64Array(patches.length));
  axes.forEach((axis, c) => {
    const column = columns[c];
    for (let p = 0; p < patches.length; p++) {
      column[p] = project(axis, features, patches[p] * d) - shifts[Math.floor(patches[p] / per)][c];
    }
  });
  return columns;
}

/** `dot` once more for features, whose numbers are of another type: a function of its own stays quick for both. */
function project(axis, features, at) {
  let a = 0, b = 0, c = 0, d = 0, i = 0;
  for (; i + 3 < axis.length; i += 4, at += 4) {
    a += axis[i] * features[at];
    b += axis[i + 1] * features[at + 1];
    c += axis[i + 2] * features[at + 2];
    d += axis[i + 3] * features[at + 3];
  }
  for (; i < axis.length; i++, at++) a += axis[i] * features[at];
  return a + b + c + d;
}

/** "above" or "below": the side that fewer border patches lie on; the smaller side if they are as many. */
export function lessOfTheBorder(above, h, w) {
  const tally = { border: [0, 0], all: [0, 0] };
  above.forEach((high, i) => {
    const row = Math.floor((i % (h * w)) / w), column = i % w;
    tally.all[high ? 0 : 1]++;
    if (row === 0 || column === 0 || row === h - 1 || column === w - 1) tally.border[high ? 0 : 1]++;
  });
  for (const [high, low] of [tally.border, tally.all]) if (high !== low) return high < low ? "above" : "below";
  return "above";
}

/**
 * A function that fits a set again and again: options {fitting, threshold (0...1 of component 1's range, or null for
 * Otsu's rule), side ("above", "below", or null for the border's rule)} -> {first (N), kept (N of 0/1), scores (K
 * columns of N, NaN where not kept), groups}. Groups are the fits: {images, threshold, low, high, side, byRule, count,
 * explainedFirst, explained, between}; `explained` is empty where too few patches are kept for a fit.
 */
export function solver(set, k = COMPONENTS) {
  const { n, h, w, d } = set, per = h * w, images = [...Array(n).keys()];
  const only = (all, group) => Object.fromEntries(group.map((image) => [image, all[image]]));
  const patchesOf = (image) => Array.from({ length: per }, (_, p) => image * per + p);
  const whole = images.map((image) => {
    const all = moments(d);
    for (const patch of patchesOf(image)) count(all, set, patch, 1);
    return all;
  });
  const kept = images.map(() => moments(d)), inside = new Uint8Array(n * per);
  const singles = images.map((image) => [image]), firsts = {}, warm = {};

  const fit = (parts, patches, fitting, size, key) => {
    const { matrix, total, mean, between } = scatter(Object.values(parts), d, fitting !== "joint");
    const found = eigenvectors(matrix, d, size, warm[key]);
    warm[key] = found.all;
    const means = images.map((image) =>
      fitting === "joint" || !parts[image]?.n ? mean : parts[image].sum.map((value) => value / parts[image].n));
    const columns = scoresOf(set, patches, found.axes, means);
    for (const column of columns) if (turn(column) < 0) for (let i = 0; i < column.length; i++) column[i] *= -1;
    return { columns, between, explained: found.values.map((value) => Math.max(0, value) / total) };
  };

  const first = (fitting) => (firsts[fitting] ??= (fitting === "single" ? singles : [images]).map((group) => {
    const patches = group.flatMap(patchesOf), parts = only(whole, group);
    const { columns, explained } = fit(parts, patches, fitting, 3, `first ${fitting} ${group}`);
    const sorted = Float64Array.from(columns[0]).sort();
    return { group, patches, scores: columns[0], explained, low: sorted[0], high: sorted.at(-1), rule: otsu(sorted) };
  }));

  return ({ fitting = "centred", threshold = null, side = null } = {}) => {
    const scores = Array.from({ length: k }, () => new Float64Array(n * per).fill(NaN));
    const one = new Float64Array(n * per), keep = new Uint8Array(n * per);
    const groups = first(fitting).map(({ group, patches, scores: ofFirst, explained: explainedFirst, ...all }) => {
      const { low, high, rule } = all;
      const cut = threshold === null ? rule : low + threshold * (high - low);
      const above = Array.from(ofFirst, (score) => score > cut), ruled = lessOfTheBorder(above, h, w);
      const chosen = side ?? ruled;
      patches.forEach((patch, p) => {
        one[patch] = ofFirst[p];
        keep[patch] = above[p] === (chosen === "above") ? 1 : 0;
      });
      const body = patches.filter((patch) => keep[patch]);
      return { images: group, patches: body, threshold: cut, low, high, side: chosen, ruled, byRule: threshold === null,
        count: body.length, explainedFirst, explained: [], between: 0 };
    });
    for (let patch = 0; patch < n * per; patch++) {
      if (keep[patch] === inside[patch]) continue;
      count(kept[Math.floor(patch / per)], set, patch, keep[patch] ? 1 : -1);
      inside[patch] = keep[patch];
    }
    for (const group of groups) {
      if (group.count <= k) continue;
      const parts = only(kept, group.images);
      const second = fit(parts, group.patches, fitting, k, `second ${fitting} ${group.images}`);
      [group.explained, group.between] = [second.explained, second.between];
      second.columns.forEach((column, c) => group.patches.forEach((patch, p) => { scores[c][patch] = column[p]; }));
    }
    return { first: one, kept: keep, scores, groups };
  };
}

/**
 * A solution in colour, {rgba (4 N bytes, half transparent black where not kept), unit (3 columns of N)}: `rgb` says
 * which component (from 0) each channel shows, `flips` which are turned round, `scaling` is "range" or "deviation".
 * `unit` are scores on the scale whose 0 and 1 are the ends of a channel, not cut off.
 */
export function colours(solution, { rgb, flips, scaling }) {
  const { scores, groups, kept } = solution, size = scores[0].length;
  const rgba = new Uint8ClampedArray(4 * size), unit = rgb.map(() => new Float32Array(size).fill(NaN));
  for (let i = 0; i < size; i++) rgba[4 * i + 3] = kept[i] ? 255 : REMOVED;
  for (const { patches, explained } of groups) {
    if (!explained.length) continue;
    rgb.forEach((component, channel) => {
      const sign = flips.includes(component) ? -1 : 1;
      const values = Float64Array.from(patches, (patch) => sign * scores[component][patch]);
      const [low, high] = scaling === "deviation" ? deviations(values) : range(values);
      patches.forEach((patch, p) => {
        const value = (values[p] - low) / (high > low ? high - low : 1);
        unit[channel][patch] = value;
        rgba[4 * patch + channel] = Math.round(255 * Math.min(1, Math.max(0, value)));
      });
    });
  }
  return { rgba, unit };
}

function range(values) {
  const sorted = Float64Array.from(values).sort();
  return PERCENTILES.map((q) => percentile(sorted, q));
}

function deviations(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  return [mean - DEVIATIONS * spread, mean + DEVIATIONS * spread];
}

/**
 * Cosine of one patch's token with every patch's (N), from projections and the lengths of the whole tokens; with `own`
 * of tokens less the mean of their own image. For tokens x, y of images with means m, m':
 * (x - m)(y - m') = xy - xm' - ym + mm', and |x - m|^2 = |x|^2 - 2 xm + |m|^2.
 */
export function cosines(set, patch, own = false) {
  const { n, h, w, d, features, norms } = set, per = h * w, out = new Float32Array(norms.length);
  const means = Array.from({ length: n }, (_, image) => own ? meanOf(set, image) : new Float64Array(d));
  const imageOf = (p) => Math.floor(p / per), squares = means.map((mean) => dot(mean, mean));
  const length = (p, image) =>
    Math.sqrt(Math.max(0, norms[p] ** 2 - 2 * project(means[image], features, p * d) + squares[image]));
  const m = means[imageOf(patch)], scale = length(patch, imageOf(patch));
  const shifted = m.map((value, i) => features[patch * d + i] - value);
  const shifts = means.map((mean) => dot(shifted, mean));
  for (let p = 0; p < out.length; p++) {
    const image = imageOf(p);
    const product = project(shifted, features, p * d) - shifts[image];
    out[p] = Math.max(-1, Math.min(1, product / (scale * length(p, image) || 1)));
  }
  out[patch] = 1;
  return out;
}

function meanOf({ h, w, d, features }, image) {
  const per = h * w, mean = new Float64Array(d);
  for (let p = image * per; p < (image + 1) * per; p++) {
    for (let i = 0; i < d; i++) mean[i] += features[p * d + i] / per;
  }
  return mean;
}
