/** The queue of one connection: where it lies, how full it is, and what people hear of it (SPEC H). */
import type { ConnectionOptions, ConnectionStatistics, EngineEvent } from '../../native/index.js';
import { type AlertState, alertStep, usePercent } from '../core/queue/alert.js';
import { causeOf, type World } from './world.js';

export type QueueEvent = Extract<
  EngineEvent,
  {
    kind:
      | 'queue_used'
      | 'queue_full'
      | 'queue_room'
      | 'queue_exhausted'
      | 'queue_resumed'
      | 'queue_dropped'
      | 'memory_exhausted';
  }
>;

export interface QueueOwner {
  readonly world: World;
  readonly key: string;
  readonly at: { id: number; set: string; target: string };
  readonly scope: { set: string; connection: number; server: string };
  readonly host: { readonly queues: { used(): void } };
  counters(): ConnectionStatistics | null;
  changed(persist: boolean): void;
}

const MB = 1_048_576;

export class QueueRun {
  #alert: AlertState = 'calm';
  /** Disconnected by itself, and not linked again yet (MIR-31). */
  #exhausted = false;
  #outOfMemory = false;

  constructor(readonly owner: QueueOwner) {}

  /** REP-09: since no memory was left for what changes, until a mirror begins. */
  get outOfMemory(): boolean {
    return this.#outOfMemory;
  }

  get folder(): string {
    return `${this.owner.world.settings['queue.folder']}/${this.owner.key}`;
  }

  /** As the engine takes it. A folder that cannot be made is the same as a full one: the engine says so then. */
  options(): Pick<ConnectionOptions, 'queueFolder' | 'queueDiskBytesMax' | 'queueFreeBytesMin' | 'disconnectWhenFull'> {
    const { settings, places, log } = this.owner.world;
    const disk = settings['queue.disk_mb'];
    try {
      if (disk !== 0) places.ensureDirectory(settings['queue.folder']);
    } catch (error) {
      log.say('QUEUE_FOLDER_FAILED', { folder: settings['queue.folder'] }, {}, causeOf(error));
    }
    return {
      queueFolder: this.folder,
      queueDiskBytesMax: disk < 0 ? -1 : disk * MB,
      queueFreeBytesMin: settings['queue.free_mb'] * MB,
      disconnectWhenFull: settings['queue.when_full'] === 'disconnect',
    };
  }

  event(event: QueueEvent): void {
    const { owner } = this;
    const { log } = owner.world;
    switch (event.kind) {
      case 'queue_used':
        owner.host.queues.used();
        return;
      case 'queue_full':
        log.say('QUEUE_FULL', { ...owner.at, why: event.why, folder: this.folder }, owner.scope);
        break;
      case 'queue_room':
        log.say('QUEUE_ROOM', owner.at, owner.scope);
        break;
      case 'queue_exhausted':
        this.#exhausted = true;
        log.say('QUEUE_EXHAUSTED', { ...owner.at, why: event.why, folder: this.folder }, owner.scope);
        break;
      case 'memory_exhausted':
        this.#outOfMemory = true;
        break;
      case 'queue_resumed':
        log.say('QUEUE_RESUMED', { ...owner.at, bytes: event.bytes }, owner.scope);
        break;
      case 'queue_dropped':
        log.say('QUEUE_DROPPED', owner.at, owner.scope);
        break;
    }
    owner.changed(false);
  }

  /** A mirror begins: nothing of what waited is needed any more. */
  emptied(): void {
    this.#outOfMemory = false;
  }

  /** The link is up. */
  linked(): void {
    if (!this.#exhausted) return;
    this.#exhausted = false;
    this.owner.world.log.say('QUEUE_RECONNECTED', this.owner.at, this.owner.scope);
  }

  /** QUE-10: looks how full it is. False when it is empty. */
  look(): boolean {
    const { owner } = this;
    const counters = owner.counters();
    const use = { held: counters?.queueHeldBytes ?? 0, capacity: counters?.queueRoomBytes ?? 0 };
    const [next, act] = alertStep(this.#alert, use, owner.world.settings['queue.alert_percent']);
    this.#alert = next;
    const percent = usePercent(use);
    if (act === 'alert')
      owner.world.log.say('QUEUE_ALERT', { ...owner.at, ...use, percent, folder: this.folder }, owner.scope);
    else if (act === 'calm') owner.world.log.say('QUEUE_CALM', { ...owner.at, percent }, owner.scope);
    return use.held > 0;
  }

  /** The connection is gone for good. */
  remove(): void {
    this.owner.world.places.removeTree(this.folder);
  }
}
