// Eigenvectors of a symmetric matrix: the few of largest eigenvalue, which is all that principal components need.

const SPARE = 6; // vectors carried beside those asked for: the more, the sooner these settle
const MULTIPLIED = 3; // times by the matrix between two looks at how far they have settled
const TOLERANCE = 1e-8; // of the largest eigenvalue: what is left to settle
const MOST = 200; // looks

/**
 * The k eigenvectors of largest eigenvalue of a symmetric d x d matrix: {axes (k arrays), values, all}. Subspace
 * iteration with a Rayleigh-Ritz step. `start`, `all` of a matrix that was alike, makes it short.
 */
export function eigenvectors(matrix, d, k, start = []) {
  const m = Math.min(d, k + SPARE);
  let seed = 1;
  const noise = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
  let basis = Array.from({ length: m }, (_, r) =>
    start[r] && dot(start[r], start[r]) > 0.5 ? start[r].slice()
      : Float64Array.from({ length: d }, (_, i) => (i === r ? 1 : 0) + 0.01 * noise()));
  orthonormalise(basis);
  for (let look = 0; ; look++) {
    const image = basis.map((vector) => times(matrix, d, vector));
    const { vectors, values } = jacobi(basis.map((one) => Float64Array.from(image, (other) => dot(one, other))));
    const axes = combine(vectors, basis), moved = combine(vectors, image);
    let left = 0;
    for (let r = 0; r < Math.min(k, m); r++) {
      for (let i = 0; i < d; i++) left = Math.max(left, Math.abs(moved[r][i] - values[r] * axes[r][i]));
    }
    if (left <= TOLERANCE * Math.max(values[0], 0) || look === MOST) {
      return { axes: axes.slice(0, k), values: values.slice(0, k), all: axes };
    }
    basis = moved;
    for (let n = 1; n < MULTIPLIED; n++) basis = basis.map((vector) => times(matrix, d, vector));
    orthonormalise(basis);
  }
}

/**
 * Inner product of `vector` with as many of `values`, from place `at` on. Four sums side by side: each addition would
 * otherwise wait for the one before it.
 */
export function dot(vector, values, at = 0) {
  const n = vector.length;
  let a = 0, b = 0, c = 0, d = 0, i = 0;
  for (; i + 3 < n; i += 4, at += 4) {
    a += vector[i] * values[at];
    b += vector[i + 1] * values[at + 1];
    c += vector[i + 2] * values[at + 2];
    d += vector[i + 3] * values[at + 3];
  }
  for (; i < n; i++, at++) a += vector[i] * values[at];
  return a + b + c + d;
}

function times(matrix, d, vector) {
  const out = new Float64Array(d);
  for (let i = 0; i < d; i++) out[i] = dot(vector, matrix, i * d);
  return out;
}

function combine(weights, vectors) {
  return weights.map((weight) => {
    const out = new Float64Array(vectors[0].length);
    for (let r = 0; r < vectors.length; r++) {
      const value = weight[r], vector = vectors[r];
      for (let i = 0; i < out.length; i++) out[i] += value * vector[i];
    }
    return out;
  });
}

function orthonormalise(vectors) {
  for (let r = 0; r < vectors.length; r++) {
    const vector = vectors[r], before = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < 2; pass++) {
      for (let s = 0; s < r; s++) {
        const other = vectors[s], part = dot(vector, other);
        for (let i = 0; i < vector.length; i++) vector[i] -= part * other[i];
      }
    }
    const length = Math.sqrt(dot(vector, vector));
    const scale = length > 1e-12 * before ? 1 / length : 0; // what the others span already becomes nothing
    for (let i = 0; i < vector.length; i++) vector[i] *= scale;
  }
}

/** Eigenvectors (rows) and falling eigenvalues of a small symmetric matrix (rows), by Jacobi's rotations. */
function jacobi(a) {
  const m = a.length, v = a.map((_, r) => Float64Array.from({ length: m }, (_, c) => (r === c ? 1 : 0)));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0, diagonal = 0;
    for (let p = 0; p < m; p++) {
      diagonal += a[p][p] ** 2;
      for (let q = p + 1; q < m; q++) off += a[p][q] ** 2;
    }
    if (off <= 1e-28 * diagonal) break;
    for (let p = 0; p < m; p++) for (let q = p + 1; q < m; q++) {
      if (a[p][q] === 0) continue;
      const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
      const c = 1 / Math.sqrt(t * t + 1), s = t * c;
      for (let r = 0; r < m; r++) {
        const row = a[r], x = row[p], y = row[q];
        row[p] = c * x - s * y;
        row[q] = s * x + c * y;
      }
      rotate(a[p], a[q], c, s);
      rotate(v[p], v[q], c, s);
    }
  }
  const order = a.map((_, r) => r).sort((one, other) => a[other][other] - a[one][one]);
  return { vectors: order.map((r) => v[r]), values: order.map((r) => a[r][r]) };
}

function rotate(one, other, c, s) {
  for (let i = 0; i < one.length; i++) {
    const x = one[i], y = other[i];
    one[i] = c * x - s * y;
    other[i] = s * x + c * y;
  }
}
