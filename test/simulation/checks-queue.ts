/** What agents say of their queues, against what is in them (QUE-06..10, QUE-16, MIR-30..33). */
import type { ConnectionItem } from '../../protocol/messages/index.js';
import type { LogLine } from '../../protocol/messages/log.js';
import type { Server } from './fleet.js';
import { MIB } from './queue.js';

/** Queues in use are looked at each second; and an event is on its way for a moment. */
const ALERT_MS_MAX = 3_000;
/** It may have been empty in between. */
const UNSEEN_MS_MAX = 500;
/** A batch that has no other place to go is taken whatever the budget says. */
const BATCH_MAX = 9 * MIB + 64;

interface View {
  alerted: boolean;
  /** Since when its use has been above the threshold, as far as it was looked at often enough to know. */
  above: number | null;
  lookedAt: number;
  /** Given up because its queue was full, and not begun anew: by itself, if that is what the setting says. */
  exhausted: boolean;
}

export class QueueWatch {
  readonly #views = new Map<Server, { life: number; readonly byId: Map<number, View> }>();

  #view(server: Server, connection: number): View {
    let views = this.#views.get(server);
    if (views?.life !== server.life) {
      views = { life: server.life, byId: new Map() };
      this.#views.set(server, views);
    }
    let view = views.byId.get(connection);
    if (!view) {
      view = { alerted: false, above: null, lookedAt: 0, exhausted: false };
      views.byId.set(connection, view);
    }
    return view;
  }

  /** Null, or what is wrong with a line of the log. */
  line(server: Server, { notice, connection }: LogLine): string | null {
    if (connection === null) return null;
    const view = this.#view(server, connection);
    const { when_full: whenFull, alert_percent: percent } = server.queue;
    switch (notice.code) {
      case 'QUEUE_ALERT':
        if (view.alerted) return 'QUE-10: one crossing is told twice';
        view.alerted = true;
        if (Number(notice.params['percent']) < percent)
          return `QUE-10: an alert at ${notice.params['percent']} percent`;
        return null;
      case 'QUEUE_CALM':
        if (!view.alerted) return 'QUE-10: calm is told without an alert';
        view.alerted = false;
        // It was below, whether that was looked at here or not.
        view.above = null;
        return null;
      case 'QUEUE_FULL':
        return whenFull === 'disconnect' ? 'QUE-09: changes wait, though the setting says disconnect' : null;
      case 'QUEUE_EXHAUSTED':
        view.exhausted = true;
        return whenFull === 'wait' ? 'QUE-09: disconnected, though the setting says wait' : null;
      case 'AUTO_REMIRROR':
        return server.remirror === 'off' ? 'MIR-33: a mirror begins by itself, though that is off' : null;
      case 'MIRROR_STARTED':
      case 'MIRROR_STOPPED':
        view.exhausted = false;
        return null;
    }
    return null;
  }

  /** Whether a connection that gave up its queue waits for a mirror that ought to begin by itself (MIR-32). */
  waits(server: Server, connection: number): boolean {
    return server.remirror !== 'off' && this.#view(server, connection).exhausted;
  }

  /** A person took a hand in it. */
  helped(server: Server, connection: number): void {
    this.#view(server, connection).exhausted = false;
  }

  look(server: Server, items: readonly ConnectionItem[]): string | null {
    const { disk_mb: diskMb, memory_mb: memoryMb } = server.queue;
    let memory = 0;
    for (const { id, statistics: s } of items) {
      memory += s.intermediateQueueBytes;
      const view = this.#view(server, id);
      // What a stop left may be more than the maximum.
      const over = server.life > 1 ? memoryMb + BATCH_MAX / MIB : 0;
      if (diskMb >= 0 && s.diskQueueBytes > (diskMb + over) * MIB)
        return `QUE-06: ${s.diskQueueBytes} bytes on disk at a maximum of ${diskMb} MB (connection ${id})`;
      if (s.queuedMirrorOps > s.queuedOps) return `QUE-16: ${s.queuedMirrorOps} of ${s.queuedOps} are a mirror's`;
      if (s.queuedOps === 0 && (s.diskQueueBytes > 0 || s.intermediateQueueBytes > 0))
        return `QUE-16: nothing is queued, in ${s.intermediateQueueBytes} and ${s.diskQueueBytes} bytes`;
      const wrong = this.#alert(server, id, view);
      if (wrong) return wrong;
    }
    if (memory > memoryMb * MIB + items.length * BATCH_MAX)
      return `QUE-04: ${memory} bytes of memory at a maximum of ${memoryMb} MB`;
    return null;
  }

  #alert(server: Server, id: number, view: View): string | null {
    const { now } = server.machine.time;
    const { alert_percent: percent } = server.queue;
    const handle = server.agent?.connections.run(id).handle;
    const channel = typeof handle === 'number' ? server.engine?.channels.get(handle)?.channel : undefined;
    const use = channel?.attached ? (channel.stream.queuedBytes / channel.stream.capacity) * 100 : 0;
    if (percent === 0 || use < percent) view.above = null;
    else view.above ??= now;
    // A source whose root is gone looks at nothing, and says that louder.
    const blind = server.agent?.connections.run(id).sourceState === 'stopped';
    const unseen = now - view.lookedAt > UNSEEN_MS_MAX;
    view.lookedAt = now;
    if (view.above !== null && (unseen || blind || server.awake < ALERT_MS_MAX)) view.above = now;
    if (view.above === null || view.alerted || now - view.above <= ALERT_MS_MAX) return null;
    return `QUE-10: nobody is told of a queue at ${Math.round(use)} percent (connection ${id})`;
  }
}
