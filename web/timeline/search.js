// Finding one's place in a sorted list.

/**
 * How many items at a list's beginning pass a test that none behind them passes.
 * @template T
 * @param {T[]} items
 * @param {(item: T) => boolean} passes
 */
export function countWhile(items, passes) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (passes(items[middle])) low = middle + 1;
    else high = middle;
  }
  return low;
}
