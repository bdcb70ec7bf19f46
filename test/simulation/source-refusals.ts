/** What a target refused: told again by itself, with growing pauses (native/engine/retell.cc; P6). */
import type { Channel } from './channel.js';
import type { Answer } from './receiver.js';
import type { Source } from './source.js';

type Refusal = Extract<Answer, { kind: 'nak' }>;

export class Refusals {
  constructor(readonly source: Source) {}

  refused(channel: Channel, { stream, id, path, sequence }: Refusal): void {
    const { host, now } = this.source;
    if (stream !== channel.stream.id) return;
    const entry = channel.quarantine.get(path) ?? {
      attempts: 0,
      retryAt: 0,
      from: 0,
      sequence: 0,
      since: Math.min(now, channel.doubt, channel.stream.oldestChange(true)),
    };
    channel.quarantine.set(path, entry);
    channel.failed.force(channel.quarantine.size);
    channel.stream.refusalTaken(id);
    host.confirm(channel, id);
    // One of before it was told again says nothing of that; a burst of refusals is one failed try.
    const told = entry.retryAt === Number.POSITIVE_INFINITY;
    if (entry.attempts > 0 && told && sequence < entry.from) return;
    const tried = entry.attempts === 0 || told;
    if (tried) entry.attempts += 1;
    const { retryMs } = channel.options;
    const pause = Math.min(Math.max(300_000, retryMs), retryMs * 2 ** Math.min(18, entry.attempts - 2));
    entry.retryAt = now + (entry.attempts === 1 ? 0 : pause);
    if (tried && entry.attempts >= 2) {
      channel.refusalsTold = true;
      host.tell({
        kind: 'quarantined',
        connection: channel.id,
        path: `/data/p${path}`,
        code: 'EPERM',
        call: 'apply',
        count: channel.quarantine.size,
      });
    }
    this.source.pump();
  }

  list(channel: Channel, token: number, after: string, limit: number): void {
    const { host, now } = this.source;
    const wall = host.machine.time.wall();
    const all = [...channel.quarantine]
      .map(([path, entry]) => ({ path: `/data/p${path}`, entry }))
      .filter(({ path }) => path > after)
      .sort((a, b) => (a.path < b.path ? -1 : 1));
    const page = all.slice(0, limit);
    host.tell({
      kind: 'quarantine_listed',
      connection: channel.id,
      token,
      paths: page.map(({ path }) => path),
      details: page.map(({ entry: { attempts, retryAt } }) => {
        const next = retryAt === Number.POSITIVE_INFINITY ? 0 : wall + Math.max(0, retryAt - now);
        return `write 1 ${attempts} ${wall} ${next} open`;
      }),
      omitted: all.length - page.length,
      total: channel.quarantine.size,
    });
  }

  retryNow(channel: Channel, token: number, path: string): void {
    let count = 0;
    for (const [place, entry] of channel.quarantine) {
      if (path !== '' && path !== `/data/p${place}`) continue;
      count += 1;
      if (entry.retryAt !== Number.POSITIVE_INFINITY) entry.retryAt = this.source.now;
    }
    this.source.host.tell({ kind: 'quarantine_retried', connection: channel.id, token, count });
    this.source.pump();
  }

  retry(channel: Channel): void {
    const { host, now, ready } = this.source;
    const { stream } = channel;
    if (channel.broken || channel.behind || !channel.ready || !ready) return;
    for (const [path, entry] of channel.quarantine) {
      if (entry.retryAt === Number.POSITIVE_INFINITY) {
        if (stream.applied < entry.sequence) continue;
        channel.quarantine.delete(path);
        // It is there now, and no more durable than what is applied.
        stream.vouched(entry.since);
        continue;
      }
      if (entry.retryAt <= now) {
        entry.retryAt = Number.POSITIVE_INFINITY;
        entry.from = stream.next;
        this.source.write(channel, path, false);
        entry.sequence = stream.last;
        if (channel.behind) {
          // The queue had no room for it: that was no try.
          entry.retryAt = now;
          return;
        }
      } else this.source.poll();
    }
    if (channel.quarantine.size > 0 || !channel.refusalsTold) return;
    channel.refusalsTold = false;
    host.tell({ kind: 'quarantine_emptied', connection: channel.id });
  }

  streamRestarts(channel: Channel): void {
    for (const entry of channel.quarantine.values()) {
      entry.from = entry.sequence = 0;
      // What it was told may have been dropped.
      if (entry.retryAt === Number.POSITIVE_INFINITY) entry.retryAt = 0;
    }
  }
}
