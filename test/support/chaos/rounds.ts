/** Rounds of faults drawn from a seed: they strike while work goes on, some while others last, and then the work rests. */
import { setTimeout as wait } from 'node:timers/promises';
import { FAULTS, type Fault } from './faults.js';
import type { World } from './world.js';

const TOLD_MS = 40_000;
/** In percent: nobody waits for its message, and the next one strikes into what is left of it. */
const HASTY = 30;
/** In percent: an agent is killed while it lasts. */
const KILLED_MEANWHILE = 25;

/** A round in order, each fault once in `rounds` of them. */
export function deal(world: World, rounds: number): Fault[][] {
  const wanted = process.env['FAULTS'] ?? '';
  const deck = FAULTS.filter((fault) => fault.name.includes(wanted));
  for (let at = deck.length - 1; at > 0; at--) {
    const other = world.random(at + 1);
    [deck[at], deck[other]] = [deck[other] as Fault, deck[at] as Fault];
  }
  return Array.from({ length: rounds }, (_, round) => deck.filter((_fault, at) => at % rounds === round));
}

/** The last one is healed only after the work rests. */
export async function round(world: World, faults: readonly Fault[]): Promise<void> {
  world.work();
  for (const fault of faults.slice(0, -1)) {
    await strike(world, fault);
    if (world.violations.length > 0) return;
  }
  const last = faults.at(-1);
  if (!last) return;
  await world.linked();
  world.note(`${last.name}, until after the work`);
  world.faults += 1;
  const struck = await last.strike(world);
  if (struck !== false) world.kinds.add(last.name);
  await wait(world.random(1_000));
  await world.rest({ lastsMs: 1_000 + world.random(2_000), heal: async () => struck !== false && last.heal(world) });
}

async function strike(world: World, fault: Fault): Promise<void> {
  const hasty = world.random(100) < HASTY;
  const killed = world.random(100) < KILLED_MEANWHILE && !/kill|stop of/.test(fault.name);
  if (!hasty && !(await world.linked())) return;
  const mark = world.story.mark();
  world.note(`${fault.name}${hasty ? ', in haste' : ''}`);
  world.faults += 1;
  if ((await fault.strike(world)) === false) return world.note('not possible now');
  world.kinds.add(fault.name);
  if (killed) {
    const side = world.random(2) === 0 ? 'source' : 'target';
    await wait(world.random(800));
    world.note(`kill -9 of the ${side} meanwhile`);
    world.faults += 1;
    await world.pair[side].stop('SIGKILL');
    world.judge(`after kill -9 of the ${side}`);
    await world.start(side);
  }
  if (!hasty && !killed && fault.told.length > 0) {
    if (!(await world.story.told(mark, fault.told, TOLD_MS))) world.violated(`${fault.name} was not told`);
  } else await wait(world.random(1_500));
  await fault.heal(world);
  world.healed();
  if (hasty || killed) return;
  for (const one of fault.over)
    if (!(await world.story.told(mark, [one], TOLD_MS)))
      world.violated(`${fault.name} is over, and the ${one.on} says none of ${one.codes.join(', ')}`);
}
