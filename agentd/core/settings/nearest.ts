/** "Did you mean": the known word that is fewest keystrokes away. */

/** Levenshtein distance. */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The nearest of `known`, or null when none is near enough to be meant. Compares the last part alone, too. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  const tail = word.slice(word.lastIndexOf('.') + 1);
  for (const candidate of known) {
    const whole = distance(word.slice(0, 128), candidate);
    const part = 1 + distance(tail.slice(0, 128), candidate.slice(candidate.lastIndexOf('.') + 1));
    const steps = Math.min(whole, part);
    if (steps < least) {
      least = steps;
      best = candidate;
    }
  }
  return least <= Math.max(2, Math.floor(tail.length / 2)) ? best : null;
}
