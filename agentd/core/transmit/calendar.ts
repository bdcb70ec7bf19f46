/**
 * Local time from instants and back. The zone comes in as a function, so that a change of the clocks can be tested.
 *
 * A local time that a change of the clocks leaves out stands for the moment of the change; one that comes twice, for
 * its first coming. So nothing that is due on a day is skipped or done twice.
 */
import type { WallTime } from '../../../protocol/units.js';

export interface Zone {
  /** Local time minus UTC at an instant, in ms. */
  offsetMs(at: WallTime): number;
}

export const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

export interface LocalTime {
  /** 1 Monday to 7 Sunday. */
  readonly weekday: number;
  /** Since midnight by the clock on the wall, 0..1439. */
  readonly minute: number;
}

/** Local date and time as milliseconds, as if the zone were UTC. */
const localMs = (zone: Zone, at: WallTime): number => at + zone.offsetMs(at);

export function localTime(zone: Zone, at: WallTime): LocalTime {
  const local = localMs(zone, at);
  const day = Math.floor(local / DAY_MS);
  // 1970-01-01 was a Thursday.
  return { weekday: ((((day + 3) % 7) + 7) % 7) + 1, minute: Math.floor((local - day * DAY_MS) / MINUTE_MS) };
}

/** The instant of a local date and time. */
export function instantOf(zone: Zone, local: number): WallTime {
  // Changes of the clocks are further apart than this, so one of the two offsets is the one that counts.
  const before = local - zone.offsetMs(local - DAY_MS);
  const after = local - zone.offsetMs(local + DAY_MS);
  const fitting = [before, after].filter((at) => localMs(zone, at) === local);
  if (fitting.length > 0) return Math.min(...fitting);
  // Left out: the moment of the change lies between the two readings.
  let low = Math.min(before, after);
  let high = Math.max(before, after);
  const early = zone.offsetMs(low);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (zone.offsetMs(middle) === early) low = middle;
    else high = middle;
  }
  return high;
}

const DATE_TIME = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2}))?$/;

/** `2026-11-25T22:00` as local milliseconds; null when there is no such day. */
export function parseLocal(text: string): number | null {
  const parts = DATE_TIME.exec(text)
    ?.slice(1)
    .map((part) => Number(part ?? 0));
  if (!parts) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.map((part) =>
    Number.isNaN(part) ? 0 : part,
  );
  const at = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(at);
  return back.getUTCMonth() === month - 1 && back.getUTCDate() === day ? at : null;
}

/** `21:00` as minutes since midnight; 24:00 is 1440. */
export function parseTimeOfDay(text: string): number {
  const [hour = '0', minute = '0'] = text.split(':');
  return Number(hour) * 60 + Number(minute);
}

/** Whether a minute lies in a span of the day; one that does not end later than it begins goes on over midnight. */
export function inSpan(minute: number, from: number, to: number): boolean {
  return from < to ? minute >= from && minute < to : minute >= from || minute < to;
}
