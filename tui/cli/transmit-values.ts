/** Bandwidths, spans, times and weekdays as people type them, and back. */
import type { BandwidthRow, Span } from '../../protocol/messages/index.js';
import { usage } from './command.js';

const BITS: Readonly<Record<string, number>> = { '': 1, k: 1, m: 1_000, g: 1_000_000 };

/** `10mbit`, `64kbit`, `1gbit`, `512` (kbit/s), or bytes: `3500B/s`, `500kB/s`, `1.5MB/s`. In kbit/s. */
export function readBandwidth(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?)(bit(?:\/s)?|bps|b\/s|)$/i.exec(text.trim());
  const amount = Number(match?.[1]);
  const scale = BITS[(match?.[2] ?? '').toLowerCase()] ?? 1;
  if (match && /B\/s$/.test(text.trim())) {
    // Bytes: k is a thousand, and nothing before it is one.
    const bytes = amount * (match[2] === '' ? 1 : scale * 1_000);
    return Math.round(((bytes * 8) / 1_000) * 1_000) / 1_000;
  }
  if (!match || (match[3] !== '' && match[2] === ''))
    throw usage(`"${text}" is not a bandwidth; write 64kbit, 10mbit, 1gbit, or bytes such as 3500B/s or 1.5MB/s.`);
  return amount * scale;
}

const UNITS: Readonly<Record<string, Span['unit']>> = { m: 'minutes', min: 'minutes', h: 'hours', d: 'days' };

/** `30m`, `2h`, `1d`. */
export function readSpan(text: string): Span {
  const match = /^(\d+)\s*(m|min|h|d)$/.exec(text.trim());
  const unit = UNITS[match?.[2] ?? ''];
  if (!match || !unit) throw usage(`"${text}" is not a span of time; write 30m, 2h or 1d.`);
  return { every: Number(match[1]), unit };
}

export const showSpan = ({ every, unit }: Span): string => `${every} ${every === 1 ? unit.slice(0, -1) : unit}`;

/** `2026-11-25 22:00` or `2026-11-25T22:00`; a time alone means today on this computer's calendar. */
export function readLocal(text: string, today: Date): string {
  const trimmed = text.trim().replace(' ', 'T');
  if (/^\d{1,2}:\d{2}(:\d{2})?$/.test(trimmed)) {
    const two = (n: number): string => n.toString().padStart(2, '0');
    return `${today.getFullYear()}-${two(today.getMonth() + 1)}-${two(today.getDate())}T${trimmed.padStart(trimmed.length < 6 ? 5 : 8, '0')}`;
  }
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?$/.test(trimmed))
    throw usage(`"${text}" is not a date and time; write "2026-11-25 22:00".`);
  return trimmed;
}

/** `9pm`, `9:30 p.m.`, `21:00`, `4` as `HH:MM` (TRN-19). */
export function readTimeOfDay(text: string): string {
  const match = /^(\d{1,2})(?::(\d{2}))?\s*(?:([ap])\.?m\.?)?$/i.exec(text.trim());
  const half = match?.[3]?.toLowerCase();
  let hour = Number(match?.[1]);
  const minute = Number(match?.[2] ?? 0);
  const wrong = !match || minute > 59 || (half ? hour < 1 || hour > 12 : hour > 24 || (hour === 24 && minute > 0));
  if (wrong) throw usage(`"${text}" is not a time of day; write 21:00 or 9pm.`);
  if (half) hour = (hour % 12) + (half === 'p' ? 12 : 0);
  return `${hour.toString().padStart(2, '0')}:${minute.toString().padStart(2, '0')}`;
}

/** `21:00-04:00` or `9pm-4am`. */
export function readTimes(text: string): { from: string; to: string } {
  const parts = text.split('-');
  if (parts.length !== 2) throw usage(`"${text}" is not two times of day; write 21:00-04:00.`);
  return { from: readTimeOfDay(parts[0] ?? ''), to: readTimeOfDay(parts[1] ?? '') };
}

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

function readDay(text: string): number {
  const at = DAYS.indexOf(text.trim().slice(0, 3).toLowerCase());
  if (at < 0) throw usage(`"${text}" is not a weekday; write mon, tue, wed, thu, fri, sat or sun.`);
  return at + 1;
}

function readDays(text: string): number[] {
  const days = new Set<number>();
  for (const part of text.split(',')) {
    const [first = '', last = first] = part.split('-');
    const to = readDay(last);
    for (let day = readDay(first); ; day = (day % 7) + 1) {
      days.add(day);
      if (day === to) break;
    }
  }
  return [...days].sort((a, b) => a - b);
}

/** `mon-fri 08:00-18:00 1mbit`; `none` in place of the bandwidth lifts the limit (TRN-34). */
export function readRow(text: string): BandwidthRow {
  const [days, times, rate, ...more] = text.trim().split(/\s+/);
  if (!days || !times || !rate || more.length > 0)
    throw usage(`"${text}" is not a row of the table; write "mon-fri 08:00-18:00 1mbit".`);
  return {
    days: days === 'all' ? [1, 2, 3, 4, 5, 6, 7] : readDays(days),
    ...readTimes(times),
    kbps: rate === 'none' ? null : readBandwidth(rate),
  };
}

export const showKbps = (kbps: number): string =>
  kbps >= 1_000_000 ? `${kbps / 1_000_000} Gbit/s` : kbps >= 1_000 ? `${kbps / 1_000} Mbit/s` : `${kbps} kbit/s`;

export const showRow = ({ days, from, to, kbps }: BandwidthRow): string =>
  `${days.map((day) => DAYS[day - 1] ?? '?').join(',')} ${from}-${to} ${kbps === null ? 'no limit' : showKbps(kbps)}`;
