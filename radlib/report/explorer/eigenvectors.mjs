// Eigenvectors of a symmetric matrix: the few of largest eigenvalue, which is all that principal components need.

/**
 * The k eigenvectors of largest eigenvalue of a symmetric d x d matrix: {axes (k arrays), values}. Subspace iteration
 * with a Rayleigh-Ritz step; `start` (axes of a matrix that was alike) makes it short.
 */
export function eigenvectors(matrix, d, k, start = []) {
  const m = Math.min(d, k + 10);
  let seed = 1;
  const noise = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
  let basis = Array.from({ length: m }, (_, r) =>
    start[r] && dot(start[r], start[r]) > 0.5 ? Float64Array.from(start[r])
      : Float64Array.from({ length: d }, (_, i) => (i === r ? 1 : 0) + 0.01 * noise()));
  orthonormalise(basis);
  for (let iteration = 0; ; iteration++) {
    const image = basis.map((vector) => times(matrix, d, vector));
    const small = basis.map((one) => image.map((other) => dot(one, other)));
    const { vectors, values } = jacobi(small);
    const rotated = combine(vectors, basis), moved = combine(vectors, image);
    let residual = 0;
    for (let r = 0; r < Math.min(k, m); r++) {
      for (let i = 0; i < d; i++) residual = Math.max(residual, Math.abs(moved[r][i] - values[r] * rotated[r][i]));
    }
    if (residual <= 1e-10 * Math.max(values[0], 0) || iteration === 300) {
      return { axes: rotated.slice(0, k), values: values.slice(0, k), all: rotated };
    }
    basis = moved;
    orthonormalise(basis);
  }
}

function times(matrix, d, vector) {
  const out = new Float64Array(d);
  for (let i = 0; i < d; i++) {
    let sum = 0;
    for (let j = 0, row = i * d; j < d; j++) sum += matrix[row + j] * vector[j];
    out[i] = sum;
  }
  return out;
}

/** Inner product of two arrays of equal length. */
export function dot(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i] * other[i];
  return sum;
}

function combine(weights, vectors) {
  return weights.map((weight) => {
    const out = new Float64Array(vectors[0].length);
    weight.forEach((value, r) => { for (let i = 0; i < out.length; i++) out[i] += value * vectors[r][i]; });
    return out;
  });
}

function orthonormalise(vectors) {
  vectors.forEach((vector, r) => {
    const before = Math.sqrt(dot(vector, vector));
    for (let pass = 0; pass < 2; pass++) {
      for (let s = 0; s < r; s++) {
        const part = dot(vector, vectors[s]);
        for (let i = 0; i < vector.length; i++) vector[i] -= part * vectors[s][i];
      }
    }
    const length = Math.sqrt(dot(vector, vector));
    const scale = length > 1e-12 * before ? 1 / length : 0; // what the others span already becomes nothing
    for (let i = 0; i < vector.length; i++) vector[i] *= scale;
  });
}

/** Eigenvectors (rows) and falling eigenvalues of a small symmetric matrix, by Jacobi's rotations. */
function jacobi(matrix) {
  const m = matrix.length, a = matrix.map((row) => [...row]);
  const v = a.map((_, r) => a.map((_, c) => (r === c ? 1 : 0)));
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0, diagonal = 0;
    for (let p = 0; p < m; p++) for (let q = 0; q < m; q++) {
      if (p === q) diagonal += a[p][p] ** 2; else off += a[p][q] ** 2;
    }
    if (off <= 1e-30 * diagonal) break;
    for (let p = 0; p < m; p++) for (let q = p + 1; q < m; q++) {
      if (a[p][q] === 0) continue;
      const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
      const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta ** 2 + 1));
      const c = 1 / Math.sqrt(t ** 2 + 1), s = t * c;
      for (let r = 0; r < m; r++) [a[r][p], a[r][q]] = [c * a[r][p] - s * a[r][q], s * a[r][p] + c * a[r][q]];
      for (let r = 0; r < m; r++) [a[p][r], a[q][r]] = [c * a[p][r] - s * a[q][r], s * a[p][r] + c * a[q][r]];
      for (let r = 0; r < m; r++) [v[p][r], v[q][r]] = [c * v[p][r] - s * v[q][r], s * v[p][r] + c * v[q][r]];
    }
  }
  const order = a.map((_, r) => r).sort((one, other) => a[other][other] - a[one][one]);
  return { vectors: order.map((r) => v[r]), values: order.map((r) => a[r][r]) };
}
