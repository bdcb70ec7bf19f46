/**
 * Stands in for the console during a measurement: reads one JSON request per line, answers with one line when the work
 * is done. It runs outside of the measured namespaces and groups, and waits for events instead of asking again and
 * again.
 */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import readline from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { Client } from '../protocol/client.js';
import {
  Barrier,
  type ConnectionItem,
  ConnectionList,
  LogTopic,
  type MirrorOptions,
  MirrorStart,
} from '../protocol/messages/index.js';
import { connect, disconnect, type Link } from '../test/support/introduce.js';

const READY_MS = 30_000;
const WORK_MS = 180_000;

interface Request {
  readonly do: 'open' | 'connect' | 'mirror' | 'barrier' | 'status' | 'disconnect' | 'reopen' | 'ready';
  readonly source: string;
  readonly target: string;
  readonly host: string;
  readonly port: number;
  readonly mirror: MirrorOptions;
}

let sockets = { source: '', target: '' };
let place = { host: '', port: 0 };
let source: Client | null = null;
let target: Client | null = null;
let link: Link | null = null;
let sets = 0;

async function open(socket: string): Promise<Client> {
  const until = Date.now() + READY_MS;
  for (;;) {
    try {
      const stream = createConnection(socket);
      await once(stream, 'connect');
      return await Client.open(stream, { address: socket });
    } catch (error) {
      if (Date.now() > until) throw error;
      await wait(5);
    }
  }
}

function need<T>(value: T | null): T {
  if (value === null) throw new Error('not open');
  return value;
}

async function item(): Promise<ConnectionItem> {
  const { connections } = await need(source).request(ConnectionList, {});
  const found = connections.find((it) => it.key === need(link).key);
  if (!found) throw new Error('the connection is gone');
  return found;
}

/** Begins to watch the log before `work` and returns when a mirror that it started is done. */
async function mirrorDone(work: () => Promise<unknown>): Promise<void> {
  const client = need(source);
  let late: NodeJS.Timeout | undefined;
  let seen: { cancel(): void } | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      late = setTimeout(() => reject(new Error('the mirror did not end')), WORK_MS);
      seen = client.subscribe(
        LogTopic,
        { last: 1 },
        {
          synced: () => {
            work().catch(reject);
          },
          put: (line) => {
            // Only news comes here; a repeat within seconds is the same line with a higher count.
            if (line.notice.code === 'MIRROR_DONE') resolve();
            if (line.notice.code === 'MIRROR_STOPPED' || line.notice.code === 'LINK_REFUSED')
              reject(new Error(line.notice.text));
          },
          ended: (error) => reject(error ?? new Error('the log ended')),
        },
      );
    });
  } finally {
    clearTimeout(late);
    seen?.cancel();
  }
}

async function answer(request: Request): Promise<object> {
  switch (request.do) {
    case 'open':
      sockets = { source: request.source, target: request.target };
      place = { host: request.host, port: request.port };
      source = await open(sockets.source);
      target = await open(sockets.target);
      return {};
    case 'connect': {
      const { mirror } = request;
      const set = `bench ${++sets}`;
      await mirrorDone(async () => {
        link = await connect(need(source), need(target), {
          set,
          source: request.source,
          target: request.target,
          ...place,
          mirror,
        });
      });
      return {};
    }
    case 'mirror': {
      const { id } = await item();
      await mirrorDone(() => need(source).request(MirrorStart, { id, options: request.mirror }));
      return {};
    }
    case 'barrier': {
      const { id } = await item();
      return { ms: (await need(source).request(Barrier, { id, timeoutMs: 300_000 })).ms };
    }
    case 'status': {
      const { statistics, wireBytes, latencyMs, quarantined } = await item();
      return { statistics, wireBytes, latencyMs, quarantined };
    }
    case 'disconnect':
      await disconnect(need(source), need(target), need(link), (await item()).id);
      return {};
    case 'reopen':
      // The source agent was started again: wait for its socket, then until it says that all is well.
      source?.close();
      source = await open(sockets.source);
      return {};
    case 'ready': {
      const until = Date.now() + WORK_MS;
      for (;;) {
        const { statistics } = await item();
        if (['Replicating', 'Ready'].includes(statistics.replicationStatus) && statistics.targetDataState === 'OK')
          return { statistics };
        if (Date.now() > until) throw new Error(`not ready: ${JSON.stringify(statistics)}`);
        await wait(5);
      }
    }
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Request))}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: error instanceof Error ? error.message : String(error) })}\n`);
  }
}
process.exit(0);
