/** `GET /metrics` over a Unix socket or loopback TCP; nothing else. */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type ListenOptions } from 'node:net';
import { dirname } from 'node:path';
import { parseListen } from '../core/settings/field.js';
import type { ServeMetrics } from '../ports/metrics-server.js';

const CONNECTIONS_MAX = 16;
const REQUEST_MS = 10_000;

/** A socket that nobody answers at is left over from an agent that was killed; anything else is not ours to remove. */
async function clear(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  try {
    if (!lstatSync(path).isSocket()) return;
  } catch {
    return;
  }
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (!alive) unlinkSync(path);
}

export const serveMetrics: ServeMetrics = async (address, render) => {
  const path = address.startsWith('unix:') ? address.slice('unix:'.length) : null;
  const at = path === null ? parseListen(address) : null;
  if (path !== null) await clear(path);
  const server = createServer((request, response) => {
    const url = (request.url ?? '').split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
      return;
    }
    if (url !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('Metrics are at /metrics.\n');
      return;
    }
    render(/application\/openmetrics-text/.test(request.headers.accept ?? '')).then(
      ({ type, text }) => {
        response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' });
        response.end(request.method === 'HEAD' ? undefined : text);
      },
      () => response.writeHead(500).end(),
    );
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = REQUEST_MS;
  server.keepAliveTimeout = REQUEST_MS;
  const where: ListenOptions = path !== null ? { path } : { host: at?.host ?? '127.0.0.1', port: at?.port ?? 0 };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', () => undefined);
  // Who may read them is who may enter the folder; a collector rarely runs as root.
  if (path !== null) chmodSync(path, 0o666);
  const bound = server.address();
  const host = at?.host.includes(':') ? `[${at.host}]` : (at?.host ?? '');
  return {
    address: path !== null || bound === null || typeof bound === 'string' ? address : `${host}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
