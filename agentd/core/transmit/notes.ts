/** Hints: settings that are possible and perhaps not meant. Each says what to do. */
import type { TransmitSettings } from '../../../protocol/messages/transmit.js';
import type { WallTime } from '../../../protocol/units.js';
import type { Zone } from './calendar.js';
import { defaultSettings, isScheduled, startsAround, windowOpen } from './limits.js';

export function notesOn(settings: TransmitSettings, zone: Zone, now: WallTime): string[] {
  const notes: string[] = [];
  const { limiting, start, stop, window, bandwidth } = settings;
  const threshold = start.thresholdPercent !== null || start.thresholdBytes !== null;
  const starts = start.at !== null || threshold;
  const none = defaultSettings(settings.compression);
  const any = starts || stop.time !== null || stop.bytes !== null || window.enabled;
  if (!limiting && (any || JSON.stringify(bandwidth) !== JSON.stringify(none.bandwidth)))
    notes.push('Limiting is switched off, so no limit counts: `understudy transmit enable ID` (TRN-04).');
  if (window.enabled && !starts)
    notes.push('A window alone starts nothing: give a session start or a queue threshold (TRN-21).');
  if ((stop.time !== null || stop.bytes !== null) && !starts && !window.enabled)
    notes.push('A stop limit ends sessions, and nothing starts any: give a session start or a queue threshold.');
  if (!isScheduled(settings) || start.at === null) return notes;
  const { next } = startsAround(settings, zone, now);
  if (next === null && !threshold)
    notes.push('No session start is to come: give a later one or an interval, or begin one by hand.');
  if (next !== null && start.interval?.unit !== 'minutes' && !windowOpen(settings, zone, next))
    notes.push('The next session start lies outside the transmission window and will be passed over (TRN-20).');
  return notes;
}
