/** Times and spans as people type them. */
import { usage } from './command.js';

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30m`, `12h`, `7d`, also with the word written out, in milliseconds. */
export function parseSpan(text: string): number {
  const match = /^(\d{1,6})\s*(m|min|minutes?|h|hours?|d|days?)$/i.exec(text.trim());
  const ms = Number(match?.[1] ?? 0) * (UNITS[(match?.[2] ?? '').slice(0, 1).toLowerCase()] ?? 0);
  if (ms <= 0) throw usage(`"${text}" is not an interval: a number with m, h or d, such as 12h.`);
  return ms;
}

/** `now`, `2026-12-31 22:00`, `22:00` (the next one) in local time, as milliseconds since 1970. */
export function parseTime(text: string, now: number): number {
  const trimmed = text.trim();
  if (trimmed.toLowerCase() === 'now') return now;
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(am|pm)?$/i.exec(trimmed);
  if (clock) {
    const [, hour, minute, second, half] = clock;
    const hours = half ? (Number(hour) % 12) + (half.toLowerCase() === 'pm' ? 12 : 0) : Number(hour);
    const at = new Date(now);
    at.setHours(hours, Number(minute), Number(second ?? 0), 0);
    if (hours < 24 && Number(minute) < 60 && Number(second ?? 0) < 60) {
      if (at.getTime() <= now) at.setDate(at.getDate() + 1);
      return at.getTime();
    }
  }
  const date = /^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?)?(Z|[+-]\d{2}:\d{2})?$/.test(trimmed)
    ? Date.parse(trimmed.length === 10 ? `${trimmed}T00:00` : trimmed.replace(' ', 'T'))
    : Number.NaN;
  if (Number.isNaN(date)) throw usage(`"${text}" is not a time: "2026-12-31 22:00", "22:00" or now.`);
  return date;
}
