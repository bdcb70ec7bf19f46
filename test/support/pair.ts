/** Two real agents, a source and a target, and what tests do with them. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { native } from '../../native/index.js';
import {
  Barrier,
  type ConnectionItem,
  ConnectionList,
  type MirrorOptions,
  type Rule,
} from '../../protocol/messages/index.js';
import { AgentProcess } from './agent-process.js';
import { connect, disconnect, type Link } from './introduce.js';
import type { SteppedClock } from './stepped-clock.js';

export type { Link };

const DIFFERENCES_MAX = 20;

export interface PairOptions {
  /** Where everything lies; made anew when left out. Its file system is what is tested. */
  readonly root?: string;
  readonly uid?: number | null;
  /** Configuration of both agents; by default the guard against mass deletes is off, since tests delete on purpose. */
  readonly config?: string;
  /** Network namespace and address of each; by default both are on the loopback interface of this machine. */
  readonly places?: { readonly source: Place; readonly target: Place };
  /** Boot ID of the target (agent-process.ts). */
  readonly targetBootId?: string;
  /** Wall clocks of their own. */
  readonly clocks?: { readonly source: SteppedClock; readonly target: SteppedClock };
}

export interface Place {
  readonly namespace: string;
  readonly host: string;
  readonly port: number;
}

/** What matters of a connection when something is not as it should be. */
function told({ statistics: s, ...it }: ConnectionItem): string {
  return (
    `${it.phase}, mirror ${s.mirrorStatus}, replication ${s.replicationStatus}, data ${s.targetDataState}, target ${s.targetStatus}, ` +
    `queued ${s.queuedOps}, sequence ${it.sequence}, applied ${it.applied}, durable ${it.durable}, quarantined ${it.quarantined}, ` +
    `problem ${it.problem?.text ?? 'none'}`
  );
}

export class Pair {
  readonly root: string;
  readonly source: AgentProcess;
  readonly target: AgentProcess;
  #links = 0;

  private constructor(root: string, options: PairOptions) {
    this.root = root;
    const { uid = null, config = '[source]\nguard_percent = 0\n' } = options;
    this.source = new AgentProcess({
      root: path.join(root, 'source-agent'),
      uid,
      config: `[agent]\nname = "source"\n${config}`,
      ...options.places?.source,
      ...(options.clocks ? { clock: options.clocks.source } : {}),
    });
    this.target = new AgentProcess({
      root: path.join(root, 'target-agent'),
      uid,
      config: `[agent]\nname = "target"\n${config}`,
      ...options.places?.target,
      ...(options.clocks ? { clock: options.clocks.target } : {}),
      ...(options.targetBootId === undefined ? {} : { bootId: options.targetBootId }),
    });
  }

  static async open(options: PairOptions = {}): Promise<Pair> {
    const root = options.root ?? fs.mkdtempSync(path.join(os.tmpdir(), 'understudy-test-'));
    fs.mkdirSync(root, { recursive: true });
    fs.chmodSync(root, 0o755);
    const pair = new Pair(root, options);
    await Promise.all([pair.source.start(), pair.target.start()]);
    return pair;
  }

  /** An empty directory of the test's own; `uid` owns it. */
  folder(name: string, uid: number | null = null): string {
    const folder = path.join(this.root, name);
    fs.mkdirSync(folder, { recursive: true });
    if (uid !== null) fs.chownSync(folder, uid, uid);
    return folder;
  }

  /** Saves a set of one directory and connects it to a directory of the target. */
  connect(source: string, target: string, mirror: MirrorOptions = { kind: 'full' }, rules?: Rule[]): Promise<Link> {
    const { host, port } = this.target;
    const set = `set ${++this.#links}`;
    return connect(this.source.client, this.target.client, {
      set,
      source,
      target,
      host,
      port,
      mirror,
      ...(rules ? { rules } : {}),
    });
  }

  /** Connects a new set of several directories, each to its own directory of the target. */
  async connectAll(set: string, places: Readonly<Record<string, string>>, rules?: Rule[]): Promise<Link> {
    const { host, port } = this.target;
    const mappings = Object.entries(places).map(([source, target]) => ({ source, target }));
    const [first] = mappings;
    if (!first) throw new Error('nothing to connect');
    return connect(this.source.client, this.target.client, {
      ...first,
      set,
      mappings,
      rules: rules ?? mappings.map(({ source }) => ({ path: source, include: true, recursive: true })),
      host,
      port,
      mirror: { kind: 'full' },
    });
  }

  async item(link: Link): Promise<ConnectionItem> {
    const { connections } = await this.source.client.request(ConnectionList, {});
    const found = connections.find((it) => it.key === link.key);
    if (!found) throw new Error(`no connection ${link.key}`);
    return found;
  }

  /** Connection IDs start anew with the agent, so the ID is asked for. */
  async barrier(link: Link, timeoutMs = 60_000): Promise<void> {
    const { id } = await this.item(link);
    await this.source.client.request(Barrier, { id, timeoutMs }, { timeoutMs: timeoutMs + 5_000 });
  }

  /** Waits until the connection is as `wanted` says. @throws with what it was last */
  async until(
    link: Link,
    what: string,
    wanted: (item: ConnectionItem) => boolean,
    timeoutMs = 60_000,
  ): Promise<ConnectionItem> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const item = await this.item(link);
      if (wanted(item)) return item;
      if (Date.now() > end) throw new Error(`not ${what} after ${timeoutMs} ms: ${told(item)}\n${this.source.log(12)}`);
      await wait(50);
    }
  }

  /** Mirror done, replication running, nothing waiting. */
  mirrored(link: Link, timeoutMs?: number): Promise<ConnectionItem> {
    return this.until(
      link,
      'mirrored',
      ({ statistics }) =>
        statistics.mirrorStatus === 'Idle' &&
        ['Replicating', 'Ready'].includes(statistics.replicationStatus) &&
        statistics.targetDataState === 'OK',
      timeoutMs,
    );
  }

  async disconnect(link: Link): Promise<void> {
    const { id } = await this.item(link);
    await disconnect(this.source.client, this.target.client, link, id);
  }

  /** Differences between the two trees in content, kind, mode, owner, extended attributes, links and times. */
  differences(link: Link): string[] {
    return native().compareTrees(link.source, link.target, DIFFERENCES_MAX).differences;
  }

  /** Ends both agents and removes everything. */
  async close(): Promise<void> {
    await Promise.all([this.source.stop(), this.target.stop()]);
    fs.rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
  }
}
