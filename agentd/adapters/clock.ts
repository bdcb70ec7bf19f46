/** The machine's clock and chance. */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../ports/clock.js';

export const systemClock: Clock = {
  wall: () => Date.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
  key: () => randomBytes(8).toString('hex'),
};
