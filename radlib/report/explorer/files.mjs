// Sets as they come in, from a script beside the page or from the kernel, and files as they go out.

import { halves } from "./components.mjs";

/**
 * The set behind `entry` {id, kind, src}: its script is loaded on demand and leaves the set in window.radlibPca[id]. A
 * classic script and no fetch, because a page opened from disk may not fetch its neighbours.
 */
export async function loadSet(entry) {
  const sets = (window.radlibPca ??= {});
  if (!sets[entry.id]) {
    await new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(entry.src, new URL(document.documentElement.dataset.content_root ?? ".", document.baseURI));
      script.onload = resolve;
      script.onerror = () => reject(new Error(`The images of "${entry.kind}" could not be loaded (${entry.src}).`));
      document.head.append(script);
    });
  }
  const { features, norms, ...rest } = sets[entry.id];
  return opened(rest, decoded(features), decoded(norms));
}

/** A set with its arrays and pictures ready: features float16 and norms float32 as bytes, little-endian. */
export async function opened(about, features, norms) {
  const bytes = new Uint8Array(norms.buffer, norms.byteOffset, norms.byteLength).slice();
  const pictures = await Promise.all(about.images.map((source) => {
    const picture = new Image();
    picture.src = source;
    return picture.decode().then(() => picture);
  }));
  return { ...about, pictures, half: features, features: halves(features), norms: new Float32Array(bytes.buffer) };
}

function decoded(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** Hand the reader a file made in the page. */
export function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** The projected tokens as a NumPy file, float16 (n, h, w, d). */
export function npy({ n, h, w, d, half }) {
  const words = `{'descr': '<f2', 'fortran_order': False, 'shape': (${n}, ${h}, ${w}, ${d}), }`;
  const header = words.padEnd(Math.ceil((words.length + 11) / 64) * 64 - 11) + "\n";
  const start = new Uint8Array([0x93, ..."NUMPY"].map((c) => (typeof c === "string" ? c.charCodeAt(0) : c)));
  const size = new Uint8Array([1, 0, header.length & 255, header.length >> 8]);
  return new Blob([start, size, header, half]);
}

/** Every patch as a line: where it is, whether it is kept, its scores, colour, cosine to the marked patch, length. */
export function csv(set, { solution, rgba, alike }) {
  const { n, h, w } = set, names = solution.scores.map((_, c) => `component_${c + 1}`);
  const lines = [["image", "row", "column", "kept", "component_1_of_all", ...names, "red", "green", "blue",
    "cosine_to_marked", "token_length"].join(",")];
  const short = (value) => (Number.isNaN(value) ? "" : Number(value.toPrecision(6)));
  for (let patch = 0; patch < n * h * w; patch++) {
    const inside = patch % (h * w);
    lines.push([Math.floor(patch / (h * w)) + 1, Math.floor(inside / w) + 1, (inside % w) + 1, solution.kept[patch],
      short(solution.first[patch]), ...solution.scores.map((column) => short(column[patch])),
      ...rgba.slice(4 * patch, 4 * patch + 3), short(alike[patch]), short(set.norms[patch])].join(","));
  }
  return new Blob([lines.join("\n") + "\n"], { type: "text/csv" });
}

/** The canvases side by side as a PNG. */
export function png(canvases) {
  const sheet = document.createElement("canvas"), gap = 10;
  sheet.width = canvases.reduce((sum, canvas) => sum + canvas.width + gap, -gap);
  sheet.height = Math.max(...canvases.map((canvas) => canvas.height));
  let left = 0;
  for (const canvas of canvases) {
    sheet.getContext("2d").drawImage(canvas, left, 0);
    left += canvas.width + gap;
  }
  return new Promise((resolve) => sheet.toBlob(resolve, "image/png"));
}
