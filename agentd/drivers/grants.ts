/** What sources may write on this server, and their links (target side of DESIGN 4). */
import type { EngineEvent } from '../../native/index.js';
import { Failure, failure, noticeRemedy, noticeText } from '../../protocol/errors.js';
import { GRANT_COUNT_MAX } from '../../protocol/limits.js';
import type { Grant, GrantSpec, Mapping, Origin } from '../../protocol/messages/peer.js';
import { SOFTWARE_VERSION } from '../../protocol/version.js';
import { findLoop, findShared, type Granted, originsOf } from '../core/mapping/guards.js';
import { innerOverlap } from '../core/mapping/mapping.js';
import { normalize, overlaps, pathProblem } from '../core/paths.js';
import {
  decodeHello,
  decodeOrigins,
  decodeTaskQuestion,
  encodeRefusal,
  encodeTrouble,
  encodeWelcome,
  LINK_HELLO_VERSION,
  type LinkHello,
} from './hello.js';
import type { Peers } from './peers.js';
import type { TargetTasks } from './target-tasks.js';
import { GRANTS_FILE, loadDocument, type StoredGrant, StoredGrants } from './stored.js';
import { TargetOrphans } from './target-orphans.js';
import { tellHeartbeat } from './tuning.js';
import { asFailure, saveDocument, saveSoon, type World } from './world.js';

type EventOf<K extends EngineEvent['kind']> = Extract<EngineEvent, { kind: K }>;
type Incoming = EventOf<'incoming'>;

interface Link {
  readonly handle: number;
  readonly address: string;
  readonly grant: string;
}

export class Grants {
  readonly #grants = new Map<string, StoredGrant>();
  readonly #links = new Map<number, Link>();
  readonly #byGrant = new Map<string, Link>();
  /** Links that were told to close for a newer one of the same source, which waits. */
  readonly #replacing = new Map<number, { incoming: Incoming; hello: LinkHello }>();
  readonly orphans: TargetOrphans;
  #paused: boolean;
  #tasks: TargetTasks | null = null;

  constructor(
    readonly world: World,
    readonly peers: Peers,
    /** Called when what is granted, or where it comes from, has changed. */
    readonly onOrigins: () => void,
  ) {
    this.orphans = new TargetOrphans(world, () =>
      [...this.#grants.values()].flatMap((grant) => this.#resolved(grant.mappings).map((mapping) => mapping.target)),
    );
    const stored = loadDocument(world.documents, GRANTS_FILE, StoredGrants);
    this.#paused = stored?.paused ?? false;
    for (const grant of stored?.grants ?? []) this.#grants.set(grant.connection, grant);
    world.hub.register('grants', () => this.items(), { ticks: true });
  }

  attach(tasks: TargetTasks): void {
    this.#tasks = tasks;
  }

  /** TaskRoad. */
  linkOf(connection: string): number | null {
    return this.#byGrant.get(connection)?.handle ?? null;
  }

  /** TaskRoad: nothing behind a running task is applied, over a newer link either. */
  holdChanged(connection: string): void {
    const link = this.#byGrant.get(connection);
    if (link) this.#applyPause(link);
  }

  #pauses(connection: string): boolean {
    return this.#paused || (this.#tasks?.holds(connection) ?? false);
  }

  #applyPause({ handle, grant }: Link): void {
    this.world.engine.receiverPause(handle, this.#pauses(grant));
  }

  get count(): number {
    return this.#grants.size;
  }

  get linked(): number {
    return this.#links.size;
  }

  get paused(): boolean {
    return this.#paused;
  }

  items(): Grant[] {
    return [...this.#grants.values()].sort((a, b) => a.created - b.created).map((grant) => this.#item(grant));
  }

  /** Where data read from these directories comes from, through every server it passed (TOP-08). */
  origins(roots: readonly string[]): readonly Origin[] {
    return originsOf(
      this.world.ownKey,
      roots.map((root) => this.world.places.resolve(root)),
      this.#granted(),
    );
  }

  async create(spec: GrantSpec, by: string): Promise<readonly Mapping[]> {
    if (!this.peers.isTrusted(spec.peer)) throw failure('PEER_UNKNOWN', { key: spec.peer });
    const mappings = spec.mappings.map((mapping) => ({
      source: normalize(mapping.source),
      target: normalize(mapping.target),
    }));
    this.#check(spec.connection, mappings, spec.origins);
    const known = this.#grants.get(spec.connection);
    if (known && (known.peer !== spec.peer || JSON.stringify(known.mappings) !== JSON.stringify(mappings)))
      throw failure('GRANT_EXISTS', { connection: spec.connection });
    if (!known && this.#grants.size >= GRANT_COUNT_MAX)
      throw failure('TOO_MANY', { what: 'grants', limit: GRANT_COUNT_MAX });
    this.#grants.set(spec.connection, {
      connection: spec.connection,
      peer: spec.peer,
      server: spec.server,
      set: spec.set,
      mappings,
      origins: spec.origins,
      ignoreDeletes: spec.ignoreDeletes ?? false,
      remapLinks: spec.remapLinks ?? this.world.settings['target.remap_links'],
      created: this.world.clock.wall(),
      createdBy: by,
    });
    try {
      await saveDocument(this.world, GRANTS_FILE, this.#stored());
    } catch (error) {
      if (known) this.#grants.set(spec.connection, known);
      else this.#grants.delete(spec.connection);
      throw error;
    }
    this.world.log.say(
      'GRANT_CREATED',
      { server: spec.server, set: spec.set, directories: mappings.map((mapping) => mapping.target).join(', ') },
      { server: spec.server, set: spec.set },
    );
    this.world.hub.touch('grants', 'server');
    this.onOrigins();
    return mappings;
  }

  async remove(connection: string): Promise<boolean> {
    const grant = this.#grants.get(connection);
    if (!grant) return false;
    this.#grants.delete(connection);
    const link = this.#byGrant.get(connection);
    if (link) this.world.engine.linkClose(link.handle);
    else this.world.places.removeTree(this.#markPath(connection));
    await saveDocument(this.world, GRANTS_FILE, this.#stored());
    this.world.log.say(
      'GRANT_REMOVED',
      { server: grant.server, set: grant.set },
      { server: grant.server, set: grant.set },
    );
    this.world.hub.touch('grants', 'server');
    this.onOrigins();
    return true;
  }

  /** REP-13 for a connection that is there already: deletes that come from now on are done or left. */
  async change(connection: string, ignoreDeletes: boolean): Promise<boolean> {
    const grant = this.#grants.get(connection);
    if (!grant) throw failure('GRANT_MISSING', { connection, server: this.world.settings['agent.name'] });
    if (grant.ignoreDeletes === ignoreDeletes) return false;
    this.#grants.set(connection, { ...grant, ignoreDeletes });
    const link = this.#byGrant.get(connection);
    if (link) this.world.engine.receiverIgnoreDeletes(link.handle, ignoreDeletes);
    await saveDocument(this.world, GRANTS_FILE, this.#stored());
    const at = { server: grant.server, set: grant.set };
    this.world.log.say(ignoreDeletes ? 'DELETES_IGNORED' : 'DELETES_DONE', at, at);
    this.world.hub.touch('grants');
    return true;
  }

  /** MIR-51: the settings count for every connection, from the next orphan on. */
  settingsChanged(): void {
    for (const link of this.#links.values()) this.world.engine.receiverOrphans(link.handle, this.orphans.options());
  }

  async removeOf(peer: string): Promise<number> {
    const theirs = [...this.#grants.values()].filter((grant) => grant.peer === peer);
    for (const grant of theirs) await this.remove(grant.connection);
    return theirs.length;
  }

  /** CON-60, CON-61: every connection to this target; the state survives a restart. */
  async pause(paused: boolean): Promise<number> {
    this.#paused = paused;
    for (const link of this.#links.values()) this.#applyPause(link);
    await saveDocument(this.world, GRANTS_FILE, this.#stored());
    this.world.log.say(paused ? 'TARGET_PAUSED' : 'TARGET_RESUMED', { connections: this.#links.size });
    this.world.hub.touch('grants', 'server');
    return this.#links.size;
  }

  event(
    event: EventOf<
      'incoming' | 'link_closed' | 'link_heartbeat' | 'link_message' | 'receiver_report' | 'receiver_task'
    >,
  ): void {
    switch (event.kind) {
      case 'incoming':
        this.#incoming(event);
        return;
      case 'link_closed':
        this.#closed(event.link);
        return;
      case 'link_heartbeat': {
        const grant = this.#grants.get(this.#links.get(event.link)?.grant ?? '');
        if (grant) tellHeartbeat(this.world, grant.server, event, { server: grant.server, set: grant.set });
        return;
      }
      case 'receiver_report': {
        const grant = this.#grants.get(this.#links.get(event.link)?.grant ?? '');
        if (!grant) return;
        if (this.orphans.told(grant, event)) return;
        this.#tellTrouble(event);
        this.world.log.say(
          'RECEIVER_REPORT',
          { server: grant.server, set: grant.set, what: event.what, detail: event.detail },
          { server: grant.server, set: grant.set },
          event.code ? { call: event.call, errno: event.code } : null,
        );
        return;
      }
      case 'link_message':
        if (!this.#taskQuestion(event.link, event.payload)) this.#newOrigins(event.link, event.payload);
        return;
      case 'receiver_task': {
        const grant = this.#grants.get(this.#links.get(event.link)?.grant ?? '');
        const done = (): void => this.world.engine.receiverTaskDone(event.link, event.ticket);
        // Without a grant the link is about to close.
        if (grant) void this.#tasks?.reached(grant, event.payload, event.ready, done);
        return;
      }
    }
  }

  #taskQuestion(handle: number, payload: Uint8Array): boolean {
    const question = decodeTaskQuestion(payload);
    const grant = this.#grants.get(this.#links.get(handle)?.grant ?? '');
    if (!question || !grant) return false;
    this.#tasks?.asked(grant, question.tasks);
    return true;
  }

  #incoming(event: Incoming): void {
    try {
      if (!this.peers.isTrusted(event.peerKey)) throw failure('PEER_UNKNOWN', { key: event.peerKey });
      const hello = decodeHello(event.hello);
      const grant = this.#grants.get(hello.connection);
      // The same answer whether it does not exist or belongs to another server.
      if (!grant || grant.peer !== event.peerKey)
        throw failure('GRANT_UNKNOWN', { connection: hello.connection, set: hello.set, server: hello.server });
      const loop = findLoop(this.world.ownKey, this.#resolved(grant.mappings), hello.origins);
      if (loop) throw failure('LOOP', { ...loop, server: this.world.settings['agent.name'] });
      const old = this.#byGrant.get(hello.connection);
      if (old) {
        // Two appliers must never share a mark: the newer link waits for the end of the older one.
        const waiting = this.#replacing.get(old.handle);
        this.#replacing.set(old.handle, { incoming: event, hello });
        if (waiting) this.world.engine.linkClose(waiting.incoming.link);
        else this.world.engine.linkClose(old.handle);
        return;
      }
      this.#accept(event, hello, grant);
    } catch (error) {
      this.#refuse(event, error);
    }
  }

  #accept(event: Incoming, hello: LinkHello, grant: StoredGrant): void {
    const { world } = this;
    const folder = `${world.settings['agent.state']}/receivers`;
    world.places.ensureDirectory(folder);
    world.engine.accept(event.link, {
      welcome: encodeWelcome({
        version: LINK_HELLO_VERSION,
        software: SOFTWARE_VERSION,
        server: world.settings['agent.name'],
        can: ['task'],
      }),
      markPath: this.#markPath(grant.connection),
      roots: grant.mappings.map((mapping) => ({ path: mapping.target, sourcePath: mapping.source })),
      paused: this.#pauses(grant.connection),
      ignoreDeletes: grant.ignoreDeletes,
      remapLinks: grant.remapLinks,
      retryMs: world.settings['target.retry_s'] * 1000,
      orphans: this.orphans.options(),
    });
    const link = { handle: event.link, address: event.address, grant: grant.connection };
    this.#links.set(event.link, link);
    this.#byGrant.set(grant.connection, link);
    if (JSON.stringify(grant.origins) !== JSON.stringify(hello.origins) || grant.server !== hello.server) {
      this.#grants.set(grant.connection, { ...grant, origins: hello.origins, server: hello.server });
      saveSoon(world, GRANTS_FILE, this.#stored());
      this.onOrigins();
    }
    world.log.say(
      'INCOMING_UP',
      { server: hello.server, set: grant.set, address: event.address },
      { server: hello.server, set: grant.set },
    );
    world.hub.touch('grants', 'server');
  }

  #markPath(connection: string): string {
    return `${this.world.settings['agent.state']}/receivers/${encodeURIComponent(connection)}.mark`;
  }

  #refuse(event: Incoming, error: unknown): void {
    const refusal = error instanceof Failure ? error : asFailure(error, 'accepting the link');
    try {
      this.world.engine.refuse(event.link, encodeRefusal(refusal));
    } catch {
      // The link ended meanwhile.
    }
    // Without the port, which is another one each time: repeats of one caller are counted.
    this.world.log.say('INCOMING_REFUSED', {
      address: event.address.replace(/:\d+$/, ''),
      reason: noticeText(refusal.notice),
      advice: noticeRemedy(refusal.notice),
    });
  }

  /** The source shows why its stream stands still (REP-10). */
  #tellTrouble({ link, what, detail, code, call }: EventOf<'receiver_report'>): void {
    if (what === 'retrying' || what === 'root_gone')
      this.world.engine.linkSend(link, encodeTrouble({ trouble: { path: detail, call, errno: code } }));
    else if (what === 'retry_succeeded' || what === 'retry_ended' || what === 'root_returned')
      this.world.engine.linkSend(link, encodeTrouble({ trouble: null }));
  }

  /** A ring may be closed by a connection made elsewhere, long after this one (TOP-08). */
  #newOrigins(handle: number, payload: Uint8Array): void {
    const link = this.#links.get(handle);
    const grant = this.#grants.get(link?.grant ?? '');
    const told = decodeOrigins(payload);
    if (!link || !grant || !told) return;
    const loop = findLoop(this.world.ownKey, this.#resolved(grant.mappings), told.origins);
    if (loop) {
      // Its next hello is refused with the same reason, which the source then shows.
      const { notice } = failure('LOOP', { ...loop, server: this.world.settings['agent.name'] });
      this.world.log.say('INCOMING_REFUSED', {
        address: link.address.replace(/:\d+$/, ''),
        reason: noticeText(notice),
        advice: noticeRemedy(notice),
      });
      this.world.engine.linkClose(handle);
      return;
    }
    this.#grants.set(grant.connection, { ...grant, origins: told.origins });
    saveSoon(this.world, GRANTS_FILE, this.#stored());
    this.onOrigins();
  }

  #closed(handle: number): void {
    for (const [old, waiting] of this.#replacing) if (waiting.incoming.link === handle) this.#replacing.delete(old);
    const link = this.#links.get(handle);
    if (!link) return;
    this.#links.delete(handle);
    if (this.#byGrant.get(link.grant) === link) this.#byGrant.delete(link.grant);
    const next = this.#replacing.get(handle);
    this.#replacing.delete(handle);
    const grant = this.#grants.get(link.grant);
    if (next) {
      try {
        if (!grant)
          throw failure('GRANT_UNKNOWN', { connection: link.grant, set: next.hello.set, server: next.hello.server });
        this.#accept(next.incoming, next.hello, grant);
      } catch (error) {
        this.#refuse(next.incoming, error);
      }
    } else if (!grant) {
      // The permission was taken back; what the stream remembered goes with it.
      this.world.places.removeTree(this.#markPath(link.grant));
    } else {
      this.world.log.say(
        'INCOMING_DOWN',
        { server: grant.server, set: grant.set, address: link.address },
        { server: grant.server, set: grant.set },
      );
    }
    this.world.hub.touch('grants', 'server');
  }

  #check(connection: string, mappings: readonly Mapping[], origins: readonly Origin[]): void {
    const { world } = this;
    for (const mapping of mappings) {
      const problem = pathProblem(mapping.target);
      if (problem) throw failure('MAPPING_INVALID', { path: mapping.target, problem });
      const resolved = world.places.resolve(mapping.target);
      const own = world.ownFolders.find((folder) => overlaps(resolved, world.places.resolve(folder)));
      if (own !== undefined) throw failure('AGENT_DIRECTORY', { target: mapping.target, own });
    }
    const resolved = this.#resolved(mappings);
    this.orphans.checkReplicas(resolved.map((mapping) => mapping.target));
    const inner = innerOverlap(resolved);
    if (inner)
      throw failure('MAPPING_INVALID', {
        path: inner[0].target,
        problem: `it overlaps ${inner[1].target}, the target of ${inner[1].source}`,
      });
    const loop = findLoop(world.ownKey, resolved, origins);
    if (loop) throw failure('LOOP', { ...loop, server: world.settings['agent.name'] });
    const shared = findShared(connection, resolved, this.#granted());
    if (shared)
      throw failure('SAME_LOCATION', {
        target: shared.target,
        other: shared.other,
        set: shared.granted.set,
        server: shared.granted.server,
      });
  }

  /** With links followed, so that two names of one place are seen as one. */
  #resolved(mappings: readonly Mapping[]): Mapping[] {
    return mappings.map((mapping) => ({ source: mapping.source, target: this.world.places.resolve(mapping.target) }));
  }

  #granted(): Granted[] {
    return [...this.#grants.values()].map((grant) => ({ ...grant, mappings: this.#resolved(grant.mappings) }));
  }

  #item(grant: StoredGrant): Grant {
    const link = this.#byGrant.get(grant.connection);
    const counters = link ? this.world.engine.receiverStatistics(link.handle) : null;
    return {
      connection: grant.connection,
      peer: grant.peer,
      server: grant.server,
      set: grant.set,
      mappings: grant.mappings,
      ignoreDeletes: grant.ignoreDeletes,
      remapLinks: grant.remapLinks,
      created: grant.created,
      createdBy: grant.createdBy,
      linked: link !== undefined,
      address: link?.address ?? null,
      paused: this.#paused,
      status: !counters
        ? 'Unknown'
        : counters.pausing
          ? 'Pause Pending'
          : this.#paused
            ? 'Paused'
            : counters.retrying
              ? 'Retrying'
              : 'OK',
      writtenBytes: counters?.writtenBytes ?? 0,
      queuedBytes: counters?.queuedBytes ?? 0,
      operations: counters?.operations ?? 0,
      failed: counters?.quarantined ?? 0,
      lastFileTouched: counters?.lastPath ?? '',
    };
  }

  #stored(): unknown {
    return { schema: 1, paused: this.#paused, grants: [...this.#grants.values()] };
  }
}
