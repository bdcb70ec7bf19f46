/** What the settings of a target address say at a moment: window, session starts, rate. Pure. */
import { TRANSMIT_KBPS_MIN } from '../../../protocol/limits.js';
import type {
  BandwidthRow,
  LimitType,
  Span,
  TransmitPatch,
  TransmitSettings,
} from '../../../protocol/messages/transmit.js';
import type { WallTime } from '../../../protocol/units.js';
import { DAY_MS, inSpan, instantOf, localTime, parseLocal, parseTimeOfDay, type Zone } from './calendar.js';

const UNIT_MS = { minutes: 60_000, hours: 3_600_000, days: DAY_MS } as const;

/** As everything is before anybody sets it (TRN-01, TRN-04, TRN-19, TRN-30, TRN-40). */
export function defaultSettings(compression: number): TransmitSettings {
  return {
    limiting: false,
    start: { at: null, interval: null, thresholdPercent: null, thresholdBytes: null },
    stop: { time: null, bytes: null },
    window: { enabled: false, open: '00:00', close: '24:00' },
    bandwidth: { kbps: null, table: [] },
    compression,
  };
}

/** The settings with what a patch names; or why that cannot be. */
export function patched(settings: TransmitSettings, patch: TransmitPatch): TransmitSettings | { problem: string } {
  const next: TransmitSettings = {
    limiting: patch.limiting ?? settings.limiting,
    start: merged(settings.start, patch.start),
    stop: merged(settings.stop, patch.stop),
    window: merged(settings.window, patch.window),
    bandwidth: merged(settings.bandwidth, patch.bandwidth),
    compression: patch.compression ?? settings.compression,
  };
  // Taking the session start away takes its interval along, unless one is given that then has nothing to count from.
  if (next.start.at === null && patch.start?.at === null) next.start.interval = patch.start.interval ?? null;
  const problem = problemIn(next);
  return problem === null ? next : { problem };
}

function merged<T extends object>(old: T, patch: { readonly [K in keyof T]?: T[K] | undefined } | undefined): T {
  const named = Object.entries(patch ?? {}).filter(([, value]) => value !== undefined);
  return { ...old, ...(Object.fromEntries(named) as Partial<T>) };
}

function problemIn({ start, window, bandwidth }: TransmitSettings): string | null {
  if (start.at !== null && parseLocal(start.at) === null) return `There is no day ${start.at.slice(0, 10)}.`;
  if (start.interval !== null && start.at === null)
    return 'A session interval counts from a session start; give one, too (--start).';
  if (window.enabled && window.open === window.close)
    return 'A transmission window must not open and close at the same time.';
  if (window.open === '24:00') return 'A transmission window opens at 00:00 at the earliest, not at 24:00.';
  for (const row of bandwidth.table) {
    if (row.days.length === 0) return 'A row of the bandwidth table needs at least one day.';
    if (row.from === '24:00') return 'A row of the bandwidth table begins at 23:59 at the latest.';
  }
  return null;
}

/** TRN-05. */
export function cleared(settings: TransmitSettings, type: LimitType | null): TransmitSettings {
  const empty = defaultSettings(settings.compression);
  if (type === null) return { ...empty, limiting: settings.limiting };
  return { ...settings, [type]: empty[type] };
}

/** Something other than now decides when data is sent (CON-05, STA-07). Stop limits alone decide nothing. */
export function isScheduled({ limiting, start, window }: TransmitSettings): boolean {
  return (
    limiting &&
    (start.at !== null || start.thresholdPercent !== null || start.thresholdBytes !== null || window.enabled)
  );
}

/** Whether the answers change with time: then the gate is asked each second (TRN-06). */
export const needsTicks = (settings: TransmitSettings): boolean =>
  isScheduled(settings) || (settings.limiting && settings.bandwidth.table.length > 0);

/** TRN-19, TRN-20. By the clock on the wall, over midnight, too. */
export function windowOpen({ limiting, window }: TransmitSettings, zone: Zone, now: WallTime): boolean {
  if (!limiting || !window.enabled) return true;
  return inSpan(localTime(zone, now).minute, parseTimeOfDay(window.open), parseTimeOfDay(window.close) % 1_440);
}

export const spanMs = ({ every, unit }: Span): number => every * UNIT_MS[unit];

/**
 * Session starts around a moment (TRN-10, TRN-11).
 * @returns the last one at or before `now`, and the first one after it
 */
export function startsAround(
  { start }: TransmitSettings,
  zone: Zone,
  now: WallTime,
): { readonly last: WallTime | null; readonly next: WallTime | null } {
  const local = start.at === null ? null : parseLocal(start.at);
  if (local === null) return { last: null, next: null };
  const first = instantOf(zone, local);
  if (now < first) return { last: null, next: first };
  if (start.interval === null) return { last: first, next: null };
  const { every, unit } = start.interval;
  if (unit !== 'days') {
    const step = spanMs(start.interval);
    const last = first + Math.floor((now - first) / step) * step;
    return { last, next: last + step };
  }
  // Days begin at the same time by the clock on the wall, whatever the clocks did in between.
  const step = every * DAY_MS;
  let turn = Math.max(0, Math.floor((now - first) / step) - 1);
  while (instantOf(zone, local + (turn + 1) * step) <= now) turn += 1;
  return { last: instantOf(zone, local + turn * step), next: instantOf(zone, local + (turn + 1) * step) };
}

/** TRN-14: a threshold starts nothing before the session start. */
export function startReached({ start }: TransmitSettings, zone: Zone, now: WallTime): boolean {
  const local = start.at === null ? null : parseLocal(start.at);
  return local === null || now >= instantOf(zone, local);
}

function rowCounts(row: BandwidthRow, weekday: number, minute: number): boolean {
  const from = parseTimeOfDay(row.from);
  const to = parseTimeOfDay(row.to);
  if (from < to) return row.days.includes(weekday) && minute >= from && minute < to;
  const yesterday = weekday === 1 ? 7 : weekday - 1;
  return (row.days.includes(weekday) && minute >= from) || (row.days.includes(yesterday) && minute < to);
}

/** The limit at a moment in kbit/s; null: none (TRN-30, TRN-34). */
export function kbpsAt({ limiting, bandwidth }: TransmitSettings, zone: Zone, now: WallTime): number | null {
  if (!limiting) return null;
  const { weekday, minute } = localTime(zone, now);
  const row = bandwidth.table.find((each) => rowCounts(each, weekday, minute));
  return row ? row.kbps : bandwidth.kbps;
}

/** Bytes per second as the engine takes them; 0 for no limit. */
export const bytesPerSecond = (kbps: number | null): number =>
  kbps === null ? 0 : Math.max(TRANSMIT_KBPS_MIN * 125, Math.round(kbps * 125));
