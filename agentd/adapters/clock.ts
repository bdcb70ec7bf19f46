/** The machine's clock and chance. */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { instant } from '../../protocol/units.js';
import type { Clock } from '../ports/clock.js';

export const systemClock: Clock = {
  wall: () => Date.now(),
  steady: () => instant(performance.now()),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  offsetMs: (at) => -new Date(at).getTimezoneOffset() * 60_000,
  random: () => Math.random(),
  key: () => randomBytes(8).toString('hex'),
};
