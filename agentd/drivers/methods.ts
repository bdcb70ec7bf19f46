/** Carries the methods of the control protocol out. Access and shape were checked before. */
import { networkInterfaces } from 'node:os';
import type { z } from 'zod';
import { failure } from '../../protocol/errors.js';
import * as m from '../../protocol/messages/index.js';
import type { Method } from '../../protocol/schema.js';
import { SOFTWARE_VERSION } from '../../protocol/version.js';
import type { Agent } from './agent.js';
import type { CallContext } from './control-session.js';
import { asFailure } from './world.js';

type Handler = (params: never, context: CallContext) => unknown;
type Handlers = Map<string, Handler>;

/** Of a verification log, when nobody says how much. */
const VERIFY_LOG_BYTES = 1_048_576;
const BARRIER_MS = 60_000;
const TASK_PLACE_MS = 60_000;
const FILES_LIMIT = 2_500;

/** Every handler by method name; a test compares the names with the protocol. */
export function handlers(agent: Agent): Handlers {
  const all: Handlers = new Map();
  const on = <P extends z.ZodType, R extends z.ZodType>(
    method: Method<P, R>,
    handler: (params: z.infer<P>, context: CallContext) => z.infer<R> | Promise<z.infer<R>>,
  ): void => {
    all.set(method.name, handler as Handler);
  };
  const { sets, sources, connections, grants, peers, settings, world } = agent;

  const transmitState = (id: number): m.TransmitState => {
    const { transmit } = connections.run(id);
    return transmit.line.state(transmit);
  };

  on(m.ServerHello, (_, { access, user, version }) => ({
    name: world.settings['agent.name'],
    version: SOFTWARE_VERSION,
    protocol: version,
    access,
    user,
    capabilities: [],
  }));
  on(m.ServerInfo, () => ({
    status: agent.status(),
    machine: agent.facts.hostName,
    addresses: addresses(),
    operatingSystem: agent.facts.operatingSystem,
    statePath: world.settings['agent.state'],
    logPath: world.settings['log.folder'],
    socketPath: world.settings['agent.socket'],
  }));
  on(m.ServerDoctor, ({ path }) => ({ checks: agent.doctor(path ?? null) }));
  on(m.ServerPauseTarget, async () => ({ connections: await grants.pause(true) }));
  on(m.ServerResumeTarget, async () => ({ connections: await grants.pause(false) }));
  on(m.ServerFiles, ({ path, limit }) => {
    if (!path.startsWith('/')) throw failure('RULE_INVALID', { path, problem: 'it must be absolute' });
    const { entries, omitted } = world.places.listDirectory(path, limit ?? FILES_LIMIT);
    return { entries: [...entries], omitted };
  });

  on(m.PeerShow, () => ({
    name: world.settings['agent.name'],
    key: world.ownKey,
    listen: agent.listen,
    addresses: addresses(),
    peers: [...peers.list()],
  }));
  on(m.PeerTrust, async ({ name, key }) => ({ changed: await peers.trust(name, key) }));
  on(m.PeerForget, async ({ key }) => {
    await peers.forget(key);
    return { grants: await grants.removeOf(key) };
  });
  on(m.GrantCreate, async (spec, { user }) => ({ mappings: [...(await grants.create(spec, user))] }));
  on(m.GrantChange, async ({ connection, ignoreDeletes }) => ({
    changed: await grants.change(connection, ignoreDeletes),
  }));
  on(m.GrantRemove, async ({ connection }) => ({ removed: await grants.remove(connection) }));
  on(m.GrantList, () => ({ grants: grants.items() }));

  on(m.SetList, () => ({ sets: sets.items() }));
  on(m.SetSave, async ({ name, rules, generation }) => {
    const { set, discarded, connected } = await sets.save(name, rules, generation);
    return { set: sets.item(set), discarded: [...discarded], connected };
  });
  on(m.SetRename, async ({ name, to, copy }) => ({ set: sets.item(await sets.rename(name, to, copy ?? false)) }));
  on(m.SetDelete, async ({ name }) => {
    await sets.delete(name);
    return {};
  });
  on(m.SetSize, ({ name }) => sets.size(name));
  on(m.SetContinue, ({ name, acceptDeletes }) => {
    const set = sets.get(name);
    if (!sources.continue(name, acceptDeletes))
      throw failure('SET_NOT_STOPPED', { set: name, state: sets.item(set).state });
    return { state: sets.item(set).state };
  });
  on(m.SetRescan, ({ name }) => {
    sets.get(name);
    sources.rescan(name);
    return {};
  });
  on(m.SetRoots, ({ name }) => ({ roots: [...sets.roots(name)] }));

  on(m.ConnectionPrepare, ({ set, mapping }) => {
    const { key, generation, mappings, origins } = connections.prepare(set, mapping);
    return {
      key,
      peer: world.ownKey,
      server: world.settings['agent.name'],
      generation,
      ignoreDeletes: world.settings['source.ignore_deletes'],
      mappings: [...mappings],
      origins: [...origins],
    };
  });
  on(
    m.ConnectionCreate,
    async ({ key, set, generation, target, mappings, mirror, replication, compression, calculateSize }) => {
      const run = await connections.create({
        key,
        set,
        generation,
        target,
        mappings,
        mirror,
        replication,
        compression,
        calculateSize,
      });
      return { id: run.id };
    },
  );
  on(m.ConnectionRemove, async ({ id }) => {
    const run = await connections.remove(id);
    agent.bookmarks.removed(run.key);
    return { key: run.stored.key, targetKey: run.stored.target.key, target: run.targetName };
  });
  on(m.ConnectionReconnect, ({ id }) => done(connections.reconnect(id)));
  on(m.ConnectionList, () => ({ connections: connections.items() }));

  on(m.MirrorStart, ({ id, options }) => done(connections.run(id).startMirror(options)));
  on(m.MirrorStop, ({ id }) => done(connections.run(id).stopMirror()));
  on(m.MirrorPause, ({ id }) => done(connections.run(id).pauseMirror()));
  on(m.MirrorResume, ({ id }) => done(connections.run(id).resumeMirror()));
  on(m.ReplicationStart, ({ id }) => done(connections.run(id).startReplication()));
  on(m.ReplicationStop, ({ id }) => done(connections.run(id).stopReplication()));
  on(m.TransmitStart, ({ id }) => done(connections.run(id).transmit.ask('start')));
  on(m.TransmitPause, ({ id }) => done(connections.run(id).transmit.ask('pause')));
  on(m.TransmitResume, ({ id }) => done(connections.run(id).transmit.ask('resume')));
  on(m.TransmitStop, ({ id }) => done(connections.run(id).transmit.ask('stop')));
  on(m.TransmitShow, ({ id }) => transmitState(id));
  on(m.TransmitSet, ({ id, patch }) => {
    connections.run(id).transmit.line.patch(patch);
    return transmitState(id);
  });
  on(m.TransmitClear, ({ id, type }) => {
    connections.run(id).transmit.line.clear(type ?? null);
    return transmitState(id);
  });
  on(m.Barrier, async ({ id, timeoutMs }, { signal }) => ({
    ms: await connections.run(id).barriers.wait(timeoutMs ?? BARRIER_MS, signal),
  }));
  on(m.Verify, ({ id, checksum, remirror, newer }, { user, signal }) =>
    connections
      .run(id)
      .verifying.ask({ checksum: checksum ?? false, remirror: remirror ?? false, newer: newer ?? false }, user, signal),
  );
  on(m.VerifyScheduleSet, ({ id, schedule }) => connections.schedule(id, schedule));
  on(m.VerifyShow, ({ id }) => connections.run(id).verifying.plan());
  on(m.OrphansStart, ({ id, preview }, { signal }) => {
    const { verifying } = connections.run(id);
    return verifying.orphans.start(preview, verifying.running, signal);
  });
  on(m.OrphansStop, ({ id }) => ({ stopped: connections.run(id).verifying.orphans.stop() }));
  on(m.QuarantineList, ({ id, after, limit }, { signal }) => connections.run(id).quarantine.list(after, limit, signal));
  on(m.QuarantineRetry, async ({ id, path }, { signal }) => ({
    count: await connections.run(id).quarantine.retry(path, signal),
  }));
  on(m.VerifyLogRead, ({ id, limit }) => connections.run(id).verifying.log(limit ?? VERIFY_LOG_BYTES));

  on(m.ConnectionSimulate, async ({ set, compression, calculateSize }) => ({
    id: (await connections.simulate(set, compression ?? 1, calculateSize ?? true)).id,
  }));
  on(m.ConnectionEstimate, ({ id, recoveryMs, bandwidths, minutes }) =>
    connections.rates.estimate(connections.run(id), recoveryMs, bandwidths, minutes),
  );
  on(m.TaskRun, ({ id, command, durable, timeoutMs, placeMs, wait }, { user, signal }) =>
    connections.run(id).tasks.ask(
      {
        purpose: 'task',
        command,
        durable: durable ?? false,
        timeoutMs,
        placeMs: placeMs ?? TASK_PLACE_MS,
        placedOnly: wait === false,
        by: user,
      },
      signal,
    ),
  );
  on(m.BookmarkMake, ({ id, name, options, placeMs }, { user, signal }) =>
    agent.bookmarks.make(id, { name, options, placeMs, by: user }, signal),
  );
  on(m.BookmarkList, () => ({ bookmarks: agent.bookmarks.list() }));
  on(m.BookmarkScheduleSet, ({ id, schedule }) => agent.bookmarks.setSchedule(id, schedule));
  on(m.BookmarkShow, ({ id }) => agent.bookmarks.plan(id));
  on(m.TaskSubmit, ({ command, timeoutMs }, { user, signal }) => agent.tasks.submit(command, timeoutMs, user, signal));
  on(m.TaskList, () => ({ tasks: agent.taskJournal.list() }));
  on(m.TaskShow, ({ key }) => agent.taskJournal.show(key));

  on(m.SettingsList, () => ({ settings: settings.list(), secrets: settings.secrets() }));
  on(m.SettingsSet, ({ changes }, { user }) => {
    grants.orphans.checkSettings(changes);
    return settings.set(world, changes, { audit: user });
  });
  on(m.SettingsCheck, ({ changes }) => {
    try {
      return { problem: null, settings: settings.check(changes ?? []) };
    } catch (error) {
      return { problem: asFailure(error, 'reading the configuration file').notice, settings: [] };
    }
  });
  on(m.SettingsSecret, async ({ key, value }, { user }) => {
    await settings.secret(world, key, value, { audit: user });
    return {};
  });

  on(m.MailTest, async ({ to, text }) => {
    const sent = await agent.services.mailer.test(to, text);
    return { ...sent, rejected: [...sent.rejected] };
  });
  on(m.SnmpTest, async () => ({ targets: await agent.services.trapper.test() }));
  on(m.MetricsRead, async () => ({
    text: (await agent.services.metrics.page()).text,
    listen: agent.services.metrics.address,
  }));
  on(m.StatisticsRead, (query) => agent.services.readStatistics(query));

  on(m.LogRead, ({ last }) => {
    const { lines, omitted } = world.log.last(last);
    return { lines: [...lines], omitted };
  });
  return all;
}

/** The empty result of a call that only does something. */
const done = (_done: unknown): Record<string, never> => ({});

/** Addresses of this server that others can reach, IPv4 first (SRV-03). */
export function addresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = all.filter((one) => !one.internal && !one.address.startsWith('fe80:'));
  const rank = (family: string): number => (family === 'IPv4' ? 0 : 1);
  return outside.sort((a, b) => rank(a.family) - rank(b.family)).map((one) => one.address);
}

/** What an audit line names: the first parameter that says what it was about. */
export function subjectOf(params: unknown): string {
  if (typeof params !== 'object' || params === null) return '';
  const named = params as Record<string, unknown>;
  for (const key of ['set', 'name', 'id', 'connection', 'key']) {
    const value = named[key];
    if (typeof value === 'string' || typeof value === 'number') return `${key} ${value}`;
  }
  return '';
}
