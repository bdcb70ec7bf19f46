/** Links of one command: opened when first needed, closed at its end. */
import { Client } from '../../protocol/client.js';
import { type Failure, Failure as FailureError, failure } from '../../protocol/errors.js';
import { ConnectionList, type ConnectionItem } from '../../protocol/messages/index.js';
import { LinkError, openTransport, parseAddress } from '../link/transport.js';
import { terminalPrompts } from './prompts.js';
import { findServer, loadServers, type ServerEntry } from './servers.js';

export interface Found {
  readonly server: ServerEntry;
  readonly client: Client;
  readonly item: ConnectionItem;
}

export interface Reached {
  readonly server: ServerEntry;
  readonly client: Client | null;
  readonly error: Failure | null;
}

export class Links {
  readonly servers: readonly ServerEntry[] = loadServers();
  readonly #open = new Map<string, Promise<Client>>();

  /** A link to a listed server. */
  client(name: string): Promise<Client> {
    const known = this.#open.get(name);
    if (known) return known;
    const opening = connectTo(findServer(this.servers, name));
    this.#open.set(name, opening);
    // Every caller sees the failure; a second one must not find it forgotten.
    opening.catch(() => undefined);
    return opening;
  }

  /** Every listed server, those that do not answer with their reason. */
  all(): Promise<Reached[]> {
    return Promise.all(
      this.servers.map(async (server): Promise<Reached> => {
        try {
          return { server, client: await this.client(server.name), error: null };
        } catch (error) {
          return { server, client: null, error: asCliFailure(error) };
        }
      }),
    );
  }

  /** One server by name, which has to answer; all of them when no name is given. */
  async some(name: string | undefined): Promise<Reached[]> {
    if (name === undefined) return await this.all();
    return [{ server: findServer(this.servers, name), client: await this.client(name), error: null }];
  }

  /** The connection `ID` or `SERVER:ID` names, looked for on every listed server. */
  async connection(text: string): Promise<Found> {
    const match = /^(?:([^:]+):)?(\d{1,9})$/.exec(text);
    if (!match) throw failure('USAGE', { problem: `"${text}" is not a connection ID; write ID or SERVER:ID.` });
    const id = Number(match[2]);
    const reached = await this.some(match[1]);
    const found: Found[] = [];
    let denied: Failure | null = null;
    for (const { server, client } of reached) {
      if (!client) continue;
      try {
        const { connections } = await client.request(ConnectionList, {});
        const item = connections.find((one) => one.id === id);
        if (item) found.push({ server, client, item });
      } catch (error) {
        // A server where we may not look is no obstacle when another one has the connection.
        denied = asCliFailure(error);
      }
    }
    const [first] = found;
    if (found.length > 1)
      throw failure('ID_AMBIGUOUS', { id, servers: found.map((one) => one.server.name).join(', ') });
    if (first) return first;
    const silent = reached.find((one) => one.error)?.error;
    throw silent ?? denied ?? failure('CONNECTION_UNKNOWN', { id: text });
  }

  async close(): Promise<void> {
    for (const opening of this.#open.values()) {
      try {
        (await opening).close();
      } catch {
        // It never opened.
      }
    }
  }
}

async function connectTo(server: ServerEntry): Promise<Client> {
  const prompts = terminalPrompts();
  const stream = await openTransport(parseAddress(server.address), prompts ? { prompts } : {});
  return Client.open(stream, { address: server.address });
}

/** Whatever went wrong as a catalogue message with an exit code. */
export function asCliFailure(error: unknown): Failure {
  if (error instanceof FailureError) return error;
  if (error instanceof LinkError) {
    if (error.code === 'ADDRESS_INVALID') return failure('ADDRESS_INVALID', { problem: error.message });
    const said = failure('UNREACHABLE', { address: '', reason: '' });
    // The road knows better words than the catalogue.
    return new FailureError({ ...said.notice, code: error.code, text: error.message, remedy: error.remedy });
  }
  return failure('INTERNAL', { detail: error instanceof Error ? error.message : String(error) });
}

/** Exit code for a failure; roads that could not be taken are "not reachable". */
export function exitCode(error: Failure): number {
  return error.notice.id === 1000 || error.notice.id === 1001 ? 3 : error.exit;
}
