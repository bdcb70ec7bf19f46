/** The model's wires are TCP: whatever they do to time, what arrives is a beginning of what was sent, in order. */
import test from 'ava';
import type { SimEngine } from './engine.js';
import type { Machine, Universe } from './machine.js';
import { Link, Network } from './network.js';
import { Chance, MachineTime, SimTime } from './time.js';

/** Sends while the line is slow, silent and well again. Answers what arrived at the source. */
function arrivals(seed: number, frames: number): readonly number[] {
  const chance = new Chance(seed);
  const time = new SimTime();
  const network = new Network({ time, chance, mutants: {} } as Universe);
  const machine = { name: 'end', time: new MachineTime(time) } as Machine;
  const end = { alive: () => true, machine } as SimEngine;
  const link = new Link(network, end, end, 1, 1);
  const arrived: number[] = [];
  let sent = 0;
  const next = (): void => {
    if (sent === frames) {
      link.resume();
      return;
    }
    const frame = sent++;
    link.send('source', () => arrived.push(frame), chance.pick([0, 64, 4_194_304]));
    if (chance.happens(0.1)) network.bytesPerMs = chance.pick([1_000, 100_000, Number.POSITIVE_INFINITY]);
    if (chance.happens(0.1)) network.slow = chance.pick([1, 20, 200]);
    if (chance.happens(0.2)) link.stall();
    if (chance.happens(0.2)) link.resume();
    time.after(chance.between(0, 50), next);
  };
  next();
  while (time.step());
  return arrived;
}

test('I2, I3: a line that falls silent gives everything later, and nothing before what was sent earlier', (t) => {
  const all = Array.from({ length: 100 }, (_, frame) => frame);
  for (let seed = 1; seed <= 200; seed++) t.deepEqual(arrivals(seed, all.length), all, `seed ${seed}`);
});
