/** What can happen to two servers, how it ends, and what their logs must say of it. */
import type { Code } from '../../../protocol/errors.js';
import { FAIR } from './faulty-wire.js';
import type { Expected, Side } from './story.js';
import type { World } from './world.js';

export interface Fault {
  readonly name: string;
  /** Returns false when the system did not let it happen. */
  strike(world: World): Promise<unknown>;
  heal(world: World): Promise<unknown>;
  /** One of these is told while it lasts, however long that takes; none: it may pass unnoticed. */
  readonly told: readonly Expected[];
  /** All of these are told after it struck, at the latest when it is over. */
  readonly over: readonly Expected[];
}

const says = (on: Side, ...codes: Code[]): Expected => ({ on, codes });
/** The link broke, or nothing comes through it any more while something waits. */
const SILENCE = [says('source', 'LINK_DOWN', 'LINK_UNREACHABLE', 'CONNECTION_STALLED')];
const FLOWS = [says('source', 'LINK_UP', 'CONNECTION_MOVES')];
const REFUSED = [says('target', 'RECEIVER_REPORT'), says('source', 'CONNECTION_STALLED', 'QUARANTINED')];
/** How often a read-only remount is tried against a target that writes. */
const BUSY_MS = 2_000;

const kill = (name: string, sides: readonly Side[], signal: 'SIGKILL' | 'SIGTERM'): Fault => ({
  name,
  strike: async (world) => {
    await Promise.all(sides.map((side) => world.pair[side].stop(signal)));
    world.judge(`after ${name}`);
  },
  heal: (world) => Promise.all(sides.map((side) => world.start(side))),
  told: [],
  over: [
    ...sides.map((side) => says(side, 'AGENT_STARTED')),
    ...(sides.includes('source') ? [says('source', 'CONNECTION_RESTORED')] : [says('source', 'LINK_DOWN')]),
    ...(sides.includes('target') ? [] : [says('target', 'INCOMING_DOWN')]),
    ...(signal === 'SIGTERM' ? sides.map((side) => says(side, 'AGENT_STOPPED')) : []),
    says('source', 'LINK_UP'),
    says('target', 'INCOMING_UP'),
  ],
});

const pause = (side: Side, told: readonly Expected[]): Fault => ({
  name: `SIGSTOP of the ${side}`,
  strike: async (world) => world.signal(side, 'SIGSTOP'),
  heal: async (world) => world.signal(side, 'SIGCONT'),
  told,
  over: [],
});

const loss = (name: string, lostFromSource: number, lostFromTarget: number): Fault => ({
  name,
  strike: (world) => world.wire.weather({ ...FAIR, lostFromSource, lostFromTarget }),
  heal: (world) => world.wire.weather(FAIR),
  told: SILENCE,
  over: FLOWS,
});

const unplug = (side: Side): Fault => ({
  name: `interface of the ${side} down`,
  strike: async (world) => world.wire.plug(side, 'down'),
  heal: async (world) => world.wire.plug(side, 'up'),
  told: SILENCE,
  over: FLOWS,
});

/** Small enough for most limits of time, large enough for all of them, and another day. */
const STEPS_MS = [3_000, 45_000, 3_600_000, 86_400_000];

/** Half of the time it is left so: whoever set it may have been right. */
const stepped = (side: Side, direction: 'forward' | 'back'): Fault => {
  let back: number | null = null;
  return {
    name: `clock of the ${side} put ${direction}`,
    strike: async (world) => {
      const ms = (STEPS_MS[world.random(STEPS_MS.length)] ?? 0) * (direction === 'back' ? -1 : 1);
      back = world.random(2) === 0 ? -ms : null;
      world.note(`by ${ms / 1_000} s${back === null ? ', for good' : ''}`);
      world.clocks[side].step(ms);
    },
    heal: async (world) => world.clocks[side].step(back ?? 0),
    told: [],
    over: [],
  };
};

export const FAULTS: readonly Fault[] = [
  kill('kill -9 of the source', ['source'], 'SIGKILL'),
  kill('kill -9 of the target', ['target'], 'SIGKILL'),
  kill('kill -9 of both', ['source', 'target'], 'SIGKILL'),
  kill('stop of the source', ['source'], 'SIGTERM'),
  kill('stop of the target', ['target'], 'SIGTERM'),
  pause('source', []),
  pause('target', SILENCE),
  loss('partition', 1_000, 1_000),
  loss('nothing arrives at the target', 1_000, 0),
  loss('nothing comes back from the target', 0, 1_000),
  unplug('source'),
  unplug('target'),
  stepped('source', 'forward'),
  stepped('source', 'back'),
  stepped('target', 'forward'),
  stepped('target', 'back'),
  {
    name: 'a slow and lossy line',
    strike: (world) =>
      world.wire.weather({
        delayMs: 10 + world.random(100),
        jitterMs: world.random(60),
        lostFromSource: world.random(40),
        lostFromTarget: world.random(40),
        twice: world.random(20),
      }),
    heal: (world) => world.wire.weather(FAIR),
    told: [],
    over: [],
  },
  {
    name: 'the file system of the target is full',
    strike: async (world) => world.targetDisk.fill(),
    heal: async (world) => world.targetDisk.free(),
    told: REFUSED,
    over: [],
  },
  {
    name: 'the file system of the target is read-only',
    strike: (world) => world.targetDisk.readOnly(BUSY_MS),
    heal: async (world) => world.targetDisk.readWrite(),
    told: REFUSED,
    over: [],
  },
  {
    name: 'the file system of the source is unmounted',
    strike: async (world) => {
      await world.holdWork();
      if (!world.sourceDisk.unmount()) world.note('somebody held it: it leaves later');
    },
    heal: async (world) => {
      world.sourceDisk.mount();
      world.goOnWorking();
    },
    // That events were lost may be told first, and of another moment; then it would be over before it was noticed.
    told: [says('source', 'SOURCE_ROOT_CHANGED', 'SOURCE_MISSING')],
    over: [says('source', 'SOURCE_CONTINUES', 'SOURCE_READY')],
  },
];
