/** What goes wrong, drawn from the seed. Each kind breaks something and, where it can, puts it right again later. */
import type { Chance, SimTime } from './time.js';
import type { Fleet, Server, Wanted } from './fleet.js';

export interface Scene {
  readonly fleet: Fleet;
  readonly time: SimTime;
  readonly chance: Chance;
  /** False once everything is being healed. */
  chaos(): boolean;
}

type Fault = (scene: Scene, wanted: Wanted) => void;

/** Date and time of a server whose zone is UTC. */
const localText = (wall: number): string => new Date(wall).toISOString().slice(0, 19);

/** Hours around the present one, or others. */
function windowAround(wall: number, chance: Chance): { readonly open: string; readonly close: string } {
  const hour = new Date(wall).getUTCHours() + chance.between(-1, 1);
  const text = (at: number): string => `${((at + 24) % 24).toString().padStart(2, '0')}:00`;
  return { open: text(hour), close: text(hour + chance.between(1, 3)) };
}

/** Undone after a while, or when everything is healed, which is what `heal` below does. */
function later(scene: Scene, low: number, high: number, call: () => void): void {
  scene.time.after(scene.chance.between(low, high), () => {
    if (scene.chaos()) call();
  });
}

function back(scene: Scene, server: Server): void {
  later(scene, 5, scene.chance.happens(0.2) ? 40_000 : 3_000, () => server.start());
}

function apart(scene: Scene, wanted: Wanted, silent: boolean): void {
  const { network } = scene.fleet;
  const [a, b] = [wanted.source.name, wanted.target.name];
  scene.fleet.universe.trace(() => `${a} and ${b} are cut apart${silent ? ' silently' : ''}`);
  network.cut(a, b, silent);
  later(scene, 50, 45_000, () => {
    scene.fleet.universe.trace(() => `${a} and ${b} reach each other again`);
    network.heal(a, b);
  });
}

export const FAULTS: Readonly<Record<string, Fault>> = {
  kill_source(scene, wanted) {
    wanted.source.kill();
    back(scene, wanted.source);
  },
  kill_target(scene, wanted) {
    wanted.target.kill();
    back(scene, wanted.target);
  },
  power_target(scene, wanted) {
    // A machine does not say good-bye.
    for (const one of scene.fleet.wanted)
      if (one.target === wanted.target && scene.chance.happens(0.5))
        scene.fleet.network.cut(one.source.name, one.target.name, true);
    wanted.target.losePower();
    later(scene, 500, 20_000, () => {
      for (const one of scene.fleet.wanted) scene.fleet.network.heal(one.source.name, one.target.name);
      wanted.target.start();
    });
  },
  restart(scene, wanted) {
    const server = scene.chance.pick([wanted.source, wanted.target]);
    server.stop();
    later(scene, 300, 5_000, () => server.start());
  },
  cut(scene, wanted) {
    apart(scene, wanted, false);
  },
  silence(scene, wanted) {
    apart(scene, wanted, true);
  },
  answers_lost(scene, wanted) {
    const [a, b] = [wanted.source.name, wanted.target.name];
    scene.fleet.universe.trace(() => `${a} does not hear ${b} any more`);
    scene.fleet.network.loseAnswers(a, b, scene.chance.between(100, 8_000));
  },
  slow_network(scene) {
    scene.fleet.network.slow = scene.chance.between(10, 300);
    later(scene, 1_000, 20_000, () => {
      scene.fleet.network.slow = 1;
    });
  },
  thin_network(scene) {
    const { network } = scene.fleet;
    network.bytesPerMs = scene.chance.between(100, 4_000);
    scene.fleet.universe.trace(() => `lines carry ${network.bytesPerMs} kB/s`);
    later(scene, 1_000, 20_000, () => {
      network.bytesPerMs = Number.POSITIVE_INFINITY;
    });
  },
  power_source(scene, wanted) {
    wanted.source.losePower();
    later(scene, 500, 20_000, () => wanted.source.start());
  },
  halted(scene, wanted) {
    const server = scene.chance.pick([wanted.source, wanted.target]);
    server.freeze(false);
    later(scene, 100, scene.chance.happens(0.3) ? 60_000 : 5_000, () => server.thaw());
  },
  suspended(scene, wanted) {
    const server = scene.chance.pick([wanted.source, wanted.target]);
    const { time } = server.machine;
    const since = scene.time.now;
    server.freeze(true);
    // A laptop's clock went on; that of a virtual machine did not, until somebody sets it.
    const behind = scene.chance.happens(0.5);
    later(scene, 100, scene.chance.happens(0.3) ? 60_000 : 5_000, () => {
      if (time.suspended && behind) time.setWall(since - scene.time.now);
      server.thaw();
    });
  },
  queue_volume(scene, wanted) {
    const { queues, name } = wanted.source.machine;
    const others = scene.chance.between(0, queues.size);
    scene.fleet.universe.trace(() => `others take ${others} bytes of the queue's volume of ${name}`);
    queues.others = others;
    later(scene, 500, 30_000, () => {
      queues.others = 0;
    });
  },
  queue_damage(scene, wanted) {
    const { folders } = wanted.source.machine.queues;
    const segments = [...folders.values()].flat();
    if (segments.length === 0) return;
    const record = scene.chance.pick(scene.chance.pick(segments).records);
    record.torn = true;
    scene.fleet.universe.trace(() => `a record of a disk queue of ${wanted.source.name} is damaged`);
  },
  schedule(scene, wanted) {
    const { fleet, chance } = scene;
    const item = wanted.item();
    if (!item) return;
    const wall = wanted.source.machine.time.wall();
    const every = { every: 1, unit: 'minutes' };
    const patches = [
      { limiting: false },
      { limiting: true, start: { at: localText(wall - chance.between(0, 36_000_000)), interval: every } },
      { limiting: true, stop: { time: every } },
      { limiting: true, start: { at: null }, window: { enabled: false } },
      { limiting: true, window: { enabled: true, ...windowAround(wall, chance) } },
    ];
    void fleet.ask(wanted.source, 'transmit.set', { id: item.id, patch: chance.pick(patches) });
  },
  verify_schedule(scene, wanted) {
    const { fleet, chance } = scene;
    const item = wanted.item();
    if (!item) return;
    const start = Math.max(0, wanted.source.machine.time.wall() - chance.between(0, 36_000_000));
    const options = { checksum: chance.happens(0.5), remirror: chance.happens(0.5), newer: false };
    void fleet.ask(wanted.source, 'verify.schedule', { id: item.id, schedule: { start, everyMs: 60_000, options } });
  },
  replica_full(scene, wanted) {
    scene.fleet.universe.trace(() => `the replicas of ${wanted.target.name} are full`);
    wanted.target.machine.replicasFull = true;
    later(scene, 500, 30_000, () => {
      wanted.target.machine.replicasFull = false;
    });
  },
  disk_full(scene, wanted) {
    const { disk } = scene.chance.pick([wanted.source, wanted.target]).machine;
    scene.fleet.universe.trace(() => `the state folder of ${wanted.source.name} or ${wanted.target.name} is full`);
    disk.full = true;
    later(scene, 500, 40_000, () => {
      disk.full = false;
    });
  },
  clock(scene, wanted) {
    const machine = scene.chance.pick([wanted.source, wanted.target]).machine;
    const byMs = scene.chance.between(-7_200_000, 7_200_000);
    machine.time.setWall(byMs);
    scene.fleet.universe.trace(() => `the wall clock of ${machine.name} is set by ${byMs} ms`);
  },
  burst(scene, wanted) {
    for (let count = scene.chance.between(10, 60), at = 0; count > 0; count--) {
      at += scene.chance.between(0, 30);
      scene.time.after(at, () => {
        wanted.tree.write(scene.chance.below(wanted.tree.versions.length));
      });
    }
  },
  slow_target(scene, wanted) {
    wanted.target.machine.slowness = scene.chance.between(20, 2_000);
    later(scene, 1_000, 20_000, () => {
      wanted.target.machine.slowness = 1;
    });
  },
  capture_loss(scene, wanted) {
    const sources = [...(wanted.source.engine?.sources.values() ?? [])].filter((one) => one.tree === wanted.tree);
    for (const source of sources) {
      source.lossy = true;
      scene.time.after(scene.chance.between(1, 200), () => {
        source.lossy = false;
        if (!scene.fleet.universe.mutants.silentLoss) source.lose('the queue of the kernel was full');
      });
    }
  },
  root_gone(scene, wanted) {
    scene.fleet.universe.trace(() => `${wanted.root} of ${wanted.source.name} is gone`);
    wanted.tree.gone = true;
    later(scene, 500, 30_000, () => {
      wanted.tree.gone = false;
    });
  },
  refused_path(scene, wanted) {
    const path = scene.chance.below(wanted.tree.versions.length);
    scene.fleet.universe.trace(() => `${wanted.target.name} cannot write path ${path}`);
    wanted.target.machine.refused.add(path);
    later(scene, 500, 30_000, () => {
      wanted.target.machine.refused.delete(path);
    });
  },
  wiped(scene, wanted) {
    // While its agent is away, and known to be: one that runs would notice that its directory is gone.
    wanted.target.kill();
    const { life } = wanted.target;
    scene.time.after(12_000, () => {
      if (wanted.target.life !== life || wanted.target.agent) return;
      scene.fleet.universe.trace(() => `the replica ${wanted.place} is wiped`);
      wanted.replica.wipe();
      wanted.lostAt = wanted.now;
      wanted.safe.fill(0);
    });
    later(scene, 12_001, 20_000, () => wanted.target.start());
  },
  operator(scene, wanted) {
    const { fleet, chance } = scene;
    const item = wanted.item();
    if (!item) return;
    const ask = (method: string, more: object = {}): void => {
      void fleet.ask(wanted.source, method, { id: item.id, ...more });
    };
    fleet.queues.helped(wanted.source, item.id);
    const kinds = [{ kind: 'full' }, { kind: 'difference' }, { kind: 'difference', checksum: true }];
    switch (chance.below(13)) {
      case 0:
        ask('mirror.start', { options: chance.pick(kinds) });
        return;
      case 1:
        ask('mirror.stop');
        return;
      case 2:
        ask('mirror.pause');
        return;
      case 3:
        ask('mirror.resume');
        return;
      case 4:
        ask('replication.stop');
        return;
      case 5:
        ask('replication.start');
        return;
      case 6:
        ask('transmit.pause');
        return;
      case 7:
        ask('transmit.resume');
        return;
      case 8:
        ask('connection.verify', { checksum: chance.happens(0.5), remirror: chance.happens(0.5) });
        return;
      case 9:
        void fleet.ask(wanted.target, chance.happens(0.5) ? 'server.pause_target' : 'server.resume_target', {});
        return;
      case 10:
        ask('connection.reconnect');
        return;
      case 11:
        // In one breath, as scripts do.
        ask('mirror.stop');
        ask('mirror.start', { options: chance.pick(kinds) });
        return;
      case 12:
        void fleet.ask(wanted.source, 'set.rescan', { name: wanted.set });
        return;
    }
  },
  removal(scene, wanted) {
    void scene.fleet.disconnect(wanted);
    later(scene, 100, 10_000, () => void scene.fleet.connect(wanted, { kind: 'difference', checksum: true }));
  },
  barrier(scene, wanted) {
    void scene.fleet.barrier(wanted);
  },
  task(scene, wanted) {
    void scene.fleet.task(wanted, scene.chance.happens(0.5));
  },
};

/** Everything that faults broke in the world; agents and wishes are looked after by the person. */
export function heal({ fleet }: Scene): void {
  fleet.network.healAll();
  for (const server of fleet.servers) {
    const { machine } = server;
    server.thaw();
    machine.queues.others = 0;
    machine.replicasFull = false;
    machine.disk.full = false;
    machine.slowness = 1;
    machine.refused.clear();
  }
  for (const tree of fleet.trees) tree.gone = false;
}
