/** Units and their text. Branded so that milliseconds are not added to bytes by accident. */

declare const unit: unique symbol;
/** Milliseconds of a span. */
export type Millis = number & { readonly [unit]?: 'millis' };
/** Milliseconds on a monotonic clock; only differences mean anything. */
export type Instant = number & { readonly [unit]: 'instant' };
/** Milliseconds since 1970 on the wall clock; for display and logs only. */
export type WallTime = number & { readonly [unit]?: 'wall' };
/** Whole bytes. */
export type Bytes = number & { readonly [unit]?: 'bytes' };

export const instant = (value: number): Instant => value as Instant;

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes as people read them, in powers of 1024 (SET-43): `0 B`, `999 B`, `1.5 MiB`. At most 10 columns. */
export function formatBytes(value: number): string {
  let amount = Math.max(0, value);
  let step = 0;
  while (amount >= 1023.95 && step < BINARY.length - 1) {
    amount /= 1024;
    step += 1;
  }
  const digits = step === 0 || amount >= 99.95 ? 0 : 1;
  return `${amount.toFixed(digits)} ${BINARY[step] ?? 'B'}`;
}

/** Whole numbers in groups of three, with a thin separator that survives every terminal: `12,345`. */
export function formatCount(value: number): string {
  return Math.trunc(value)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** `1 file`, `1,200 files`. */
export const formatThings = (number: number, one: string, several = `${one}s`): string =>
  `${formatCount(number)} ${number === 1 ? one : several}`;

/** A span: `12 ms`, `3.4 s`, `5 m 06 s`, `2 h 03 m`, `4 d 01 h`. */
export function formatMillis(value: number): string {
  const ms = Math.max(0, value);
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const two = (n: number): string => n.toString().padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`;
  return `${Math.floor(minutes / 1440)} d ${two(Math.floor((minutes % 1440) / 60))} h`;
}

/** Wall time in local time: `2026-11-20 23:04:05.123`. */
export function formatWallTime(at: number): string {
  const date = new Date(at);
  const two = (n: number, width = 2): string => n.toString().padStart(width, '0');
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`
  );
}

/** The same to the second, where nobody asks for more: `2026-11-20 23:04:05`. */
export const formatSecond = (at: number): string => formatWallTime(at).slice(0, 19);

const SIZE = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b?)$/i;

/** `64`, `64k`, `1.5 GiB` to bytes (powers of 1024); null when it is not a size. */
export function parseBytes(source: string): number | null {
  const match = SIZE.exec(source.trim());
  if (!match) return null;
  const power = ['', 'k', 'm', 'g', 't'].indexOf((match[2] ?? '').toLowerCase());
  return Math.round(Number(match[1]) * 1024 ** power);
}
