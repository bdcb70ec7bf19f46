/**
 * `understudy demo`: two agents on this machine as ordinary processes, reached through SSH as real servers are, a set
 * on sample data, a writer that changes it, and the cockpit to watch. Without a terminal: progress lines, and at the
 * end a comparison of both trees that decides the exit status.
 */
import fs from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { native } from '../../native/index.js';
import { Client } from '../../protocol/client.js';
import { Barrier, type ConnectionItem, ConnectionList } from '../../protocol/messages/index.js';
import { mirrorStatusText } from '../../protocol/messages/statistics.js';
import { openTransport, parseAddress } from '../link/transport.js';
import { CONSOLE, Place } from './place.js';
import { makeKeyPair, openSshEndpoint } from './ssh-endpoint.js';
import { makeSample, startWriter, type Writer } from './writer.js';

export interface DemoOptions {
  readonly headless: boolean;
  /** Ends by itself after this time; null: headless 10 s, otherwise when the cockpit is left. */
  readonly seconds: number | null;
}

const HEADLESS_SECONDS = 10;
const MIRROR_MS = 120_000;
const BARRIER_MS = 60_000;
const DIFFERENCES_MAX = 20;
const EX_DIFFERENT = 1;
const EX_INTERRUPTED = 130;

const USER = 'demo';
const SOURCE = 'primary';
const TARGET = 'standby';
const SET = 'data';

/** @returns exit status: 0 only when both trees ended identical */
export async function demo(options: DemoOptions): Promise<number> {
  const place = new Place();
  const interrupted = new AbortController();
  // The first signal ends the demo in order; the place is removed whatever happens.
  const stop = (): void => interrupted.abort();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  try {
    return await play(place, options, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) return EX_INTERRUPTED;
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    return EX_DIFFERENT;
  } finally {
    await place.end();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, stop);
  }
}

async function play(place: Place, options: DemoOptions, signal: AbortSignal): Promise<number> {
  const source = place.path(SOURCE, 'data');
  const target = place.path(TARGET, 'replica');
  fs.mkdirSync(source, { recursive: true });
  fs.mkdirSync(target, { recursive: true });
  const files = await makeSample(source);
  say(`sample data: ${files} files in ${source}`);

  const address = await startServers(place);
  signal.throwIfAborted();
  // Each step is an ordinary command, shown as typed, against the demo's own settings.
  const commands = [
    ['server', 'add', SOURCE, address.source],
    ['server', 'add', TARGET, address.target],
    ['set', 'create', `${SOURCE}:${SET}`, source],
    ['connect', `${SOURCE}:${SET}`, TARGET, '--map', `${source}=${target}`, '--mirror', 'full'],
  ];
  for (const command of commands) {
    say(`$ understudy ${command.join(' ')}`);
    await place.command(command);
    signal.throwIfAborted();
  }
  const client = await openClient(place, address.source);
  const writer = startWriter(source);
  place.onEnd(async () => {
    client.close();
    await writer.stop();
  });
  if (options.headless) await watchLines(client, writer, (options.seconds ?? HEADLESS_SECONDS) * 1000, signal);
  else await watchCockpit(place, options.seconds, source, target, signal);
  if (signal.aborted) return EX_INTERRUPTED;
  return judge(client, writer, source, target);
}

/** Starts both agents and an SSH endpoint for each. @returns how the console reaches them */
async function startServers(place: Place): Promise<{ source: string; target: string }> {
  const userKey = makeKeyPair();
  fs.writeFileSync(place.path('home/.ssh/id_ed25519'), userKey.private, { mode: 0o600 });
  const known: string[] = [];
  const start = async (name: string): Promise<string> => {
    const { socket } = await place.startAgent(name);
    const hostKey = makeKeyPair();
    const endpoint = await openSshEndpoint({ hostKey, user: USER, userKey, socket });
    place.onEnd(endpoint.close);
    known.push(`[127.0.0.1]:${endpoint.port} ${hostKey.public}\n`);
    say(`agent ${name}: data link encrypted by TLS 1.3, control through SSH on port ${endpoint.port}`);
    return `ssh://${USER}@127.0.0.1:${endpoint.port}${socket}`;
  };
  const [source, target] = await Promise.all([start(SOURCE), start(TARGET)]);
  fs.writeFileSync(place.path('home/.config/understudy/known_hosts'), known.join(''), { mode: 0o600 });
  return { source, target };
}

/** Our own link to the source, by the same road as the commands and the cockpit. */
async function openClient(place: Place, address: string): Promise<Client> {
  const stream = await openTransport(parseAddress(address), {
    config: null,
    agent: null,
    knownHosts: [],
    ownKnownHosts: place.path('home/.config/understudy/known_hosts'),
    identities: [place.path('home/.ssh/id_ed25519')],
  });
  return Client.open(stream, { address });
}

async function connection(client: Client): Promise<ConnectionItem> {
  const { connections } = await client.request(ConnectionList, {});
  const [first] = connections;
  if (!first) throw new Error('the demo has no connection any more; somebody disconnected it');
  return first;
}

/** One line a second until the time is over and the first mirror has ended. */
async function watchLines(client: Client, writer: Writer, ms: number, signal: AbortSignal): Promise<void> {
  const start = Date.now();
  for (;;) {
    await wait(1000, undefined, { signal });
    const { statistics, latencyMs, problem } = await connection(client);
    const seconds = Math.round((Date.now() - start) / 1000);
    const sent = (statistics.sentBytes / 1e6).toFixed(1);
    say(
      `${String(seconds).padStart(3)} s  mirror ${mirrorStatusText(statistics)}, replication ${statistics.replicationStatus}, ` +
        `target ${statistics.targetDataState}, ${writer.changes()} changes, ${sent} MB sent, ${lag(latencyMs)}${problem ? `; ${problem.text}` : ''}`,
    );
    const mirrored =
      statistics.mirrorStatus === 'Idle' && ['Replicating', 'Ready'].includes(statistics.replicationStatus);
    if (Date.now() - start >= ms && mirrored) return;
    if (Date.now() - start >= ms + MIRROR_MS) throw new Error('the first mirror did not end; see the lines above');
  }
}

function lag(latencyMs: number): string {
  if (latencyMs < 0) return 'lag unknown';
  return latencyMs === 0 ? 'caught up' : `${Math.round(latencyMs)} ms behind`;
}

async function watchCockpit(
  place: Place,
  seconds: number | null,
  source: string,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  say(`change something in ${source}`);
  say(`and find it in       ${target}`);
  const cockpit = place.start(CONSOLE, [], null);
  const end = (): void => void cockpit.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  const timer = seconds === null ? undefined : globalThis.setTimeout(end, seconds * 1000);
  await new Promise<void>((resolve) => {
    cockpit.once('exit', () => resolve());
    cockpit.once('error', () => resolve());
  });
  clearTimeout(timer);
  signal.removeEventListener('abort', end);
}

/** The end of every demo: the writer stops, everything arrives, both trees are compared by content. */
async function judge(client: Client, writer: Writer, source: string, target: string): Promise<number> {
  await writer.stop();
  const { id } = await connection(client);
  const { ms } = await client.request(Barrier, { id, timeoutMs: BARRIER_MS });
  say(`${writer.changes()} changes made; everything durable on the target after ${Math.round(ms)} ms`);
  const { files, bytes, differences } = native().compareTrees(source, target, DIFFERENCES_MAX);
  if (differences.length === 0) {
    say(`compared ${files} files, ${(bytes / 1e6).toFixed(1)} MB: both trees are identical`);
    return 0;
  }
  say(`both trees differ:\n  ${differences.join('\n  ')}`);
  return EX_DIFFERENT;
}

function say(text: string): void {
  process.stdout.write(`demo: ${text}\n`);
}
