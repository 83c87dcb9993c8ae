/** The order of the positions of ŷ in a file, section 5 of FORMAT.md. */

const BLOCK = 2 ** 16; // Positions of a step without context.

/**
 * The steps of an image of latents; each is the raster indices of its positions, in their order.
 * @param {number} support side of the causal kernel; 0 without context.
 * @param {number} height rows.
 * @param {number} width columns.
 * @returns {Generator<Int32Array>}
 */
export function* steps(support, height, width) {
  if (!support) {
    for (let start = 0; start < height * width; start += BLOCK) {
      yield Int32Array.from({ length: Math.min(BLOCK, height * width - start) }, (_, i) => start + i);
    }
    return;
  }
  const slope = (support >> 1) + 1;
  for (let step = 0; step < width + slope * (height - 1); step++) {
    const first = Math.max(0, Math.ceil((step - width + 1) / slope));
    const last = Math.min(height - 1, Math.floor(step / slope));
    if (first <= last) {
      yield Int32Array.from({ length: last - first + 1 }, (_, i) => {
        const row = first + i;
        return row * width + step - slope * row;
      });
    }
  }
}
