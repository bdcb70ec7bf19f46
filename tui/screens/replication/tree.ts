/** The tree on the left: all connections, then servers with their sets (RCN-01, RCN-02). */
import type { App } from '../../model/app.js';
import { isStale, problemCount, type Server, serverSeverity, setSeverity } from '../../model/fleet.js';
import { ofSet, rank, type Severity, worst } from '../../model/severity.js';

export type Place =
  | { readonly kind: 'all' }
  | { readonly kind: 'servers' }
  | { readonly kind: 'server'; readonly server: string }
  | { readonly kind: 'set'; readonly server: string; readonly set: string }
  | { readonly kind: 'incoming'; readonly server: string };

export interface Node {
  readonly id: string;
  readonly place: Place;
  readonly depth: number;
  readonly label: string;
  /** State in a word or two, right of the label. */
  readonly word: string;
  readonly severity: Severity | null;
  readonly stale: boolean;
  /** Null: nothing below. */
  readonly open: boolean | null;
}

/** What the tree shows, top to bottom. */
export function nodes(app: App): Node[] {
  const { collapsed } = app.screen.tree;
  const out: Node[] = [];
  const servers = app.fleet.servers;
  const total = servers.reduce((sum, server) => sum + server.connections.size, 0);
  const overall = worst(servers.map(serverSeverity));
  out.push({
    id: 'all',
    place: { kind: 'all' },
    depth: 0,
    label: 'All connections',
    word: String(total),
    severity: null,
    stale: false,
    open: null,
  });
  const open = !collapsed.has('servers');
  out.push({
    id: 'servers',
    place: { kind: 'servers' },
    depth: 0,
    label: 'Servers',
    word: String(servers.length),
    severity: servers.length === 0 ? null : overall,
    stale: false,
    open: servers.length === 0 ? null : open,
  });
  if (!open) return out;
  for (const server of servers) {
    const severity = serverSeverity(server);
    if (app.screen.problemsOnly && rank(severity) < rank('warn')) continue;
    out.push(...serverNodes(app, server, severity, collapsed));
  }
  return out;
}

function serverNodes(app: App, server: Server, severity: Severity, collapsed: ReadonlySet<string>): Node[] {
  const id = `server:${server.name}`;
  const stale = isStale(server);
  const below = server.sets.size + (server.grants.size > 0 ? 1 : 0);
  const open = below > 0 && !collapsed.has(id);
  const out: Node[] = [
    {
      id,
      place: { kind: 'server', server: server.name },
      depth: 1,
      label: server.name,
      word: serverWord(server, app.now),
      severity: server.link.kind === 'off' ? null : severity,
      stale,
      open: below > 0 ? open : null,
    },
  ];
  if (!open) return out;
  for (const set of [...server.sets.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const own = setSeverity(server, set);
    if (app.screen.problemsOnly && rank(own) < rank('warn')) continue;
    out.push({
      id: `set:${server.name}\0${set.name}`,
      place: { kind: 'set', server: server.name, set: set.name },
      depth: 2,
      label: set.name,
      word: rank(ofSet(set)) >= rank('notice') ? set.state : '',
      severity: own,
      stale,
      open: null,
    });
  }
  if (server.grants.size > 0 && !app.screen.problemsOnly) {
    const failed = [...server.grants.values()].some((grant) => grant.failed > 0);
    out.push({
      id: `incoming:${server.name}`,
      place: { kind: 'incoming', server: server.name },
      depth: 2,
      label: 'Incoming',
      word: String(server.grants.size),
      severity: failed ? 'warn' : null,
      stale,
      open: null,
    });
  }
  return out;
}

/** Age as people say it: `3 s`, `4 m`, `2 h`, `5 d`. */
export function age(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

/** One word on the link and what is behind it, with the age of what is shown when it is not current. */
export function serverWord(server: Server, now: number): string {
  const old = server.heardAt > 0 ? ` ${age(now - server.heardAt)}` : '';
  switch (server.link.kind) {
    case 'off':
      return 'logged out';
    case 'connecting':
      if (server.link.attempt > 1 || (server.heardAt > 0 && !server.remembered)) return `retry${old}`;
      return server.heardAt > 0 ? `as of${old}` : 'connecting';
    case 'lost':
      return `lost${old}`;
    case 'refused':
      return 'refused';
    case 'online': {
      if (server.hello?.access === 'none') return 'no access';
      if (!server.current) return server.heardAt > 0 && old !== ' 0 s' ? `as of${old}` : 'reading';
      const problems = problemCount(server);
      if (problems === 0 && server.status?.targetPaused) return 'paused';
      return problems === 0 ? '' : problems === 1 ? '1 problem' : `${problems} problems`;
    }
  }
}

export function selectedNode(app: App): Node | undefined {
  const all = nodes(app);
  return all.find((node) => node.id === app.screen.tree.selected) ?? all[0];
}

/** The server that the tree's selection belongs to. */
export function selectedServerName(app: App): string | null {
  const place = selectedNode(app)?.place;
  if (place && 'server' in place) return place.server;
  return null;
}
