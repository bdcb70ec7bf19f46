/** The form that connects a set to a target, or to none (CON-40). */
import type { App, Dialog } from '../../model/app.js';
import { findServer } from '../../model/fleet.js';
import { type Description, flag, num, type Plain, txt } from './dialogs.js';
import * as cli from './equivalents.js';

const CONNECT_MIRRORS = ['Difference', 'Full', 'None'] as const;
const MAPPINGS = ['All to one', 'One to one', 'Custom'] as const;

/** Names of servers that can be targets: every other one, and the source itself for a single server. */
export function targetNames(app: App, source: string): string[] {
  return [
    ...app.fleet.servers.filter((one) => one.name !== source),
    ...app.fleet.servers.filter((one) => one.name === source),
  ].map((one) => one.name);
}

export function connectForm(app: App, dialog: Dialog, plain: Plain): Description | null {
  const { values, server: source } = dialog;
  const server = findServer(app.fleet, source);
  if (!server) return null;
  const sets = [...server.sets.keys()].sort();
  const named = targetNames(app, source);
  const targets = named.includes(cli.SIMULATED) ? named : [...named, cli.SIMULATED];
  const set = sets[num(values, 'set')] ?? sets[0] ?? '';
  const target = targets[num(values, 'target')] ?? targets[0] ?? '';
  if (target === cli.SIMULATED && !named.includes(cli.SIMULATED))
    return plain({
      title: 'Connect',
      lines: [
        `${set} on ${source} is simulated: everything is read, compressed and counted, nothing is sent and nothing is protected.`,
        'Estimate shows what was counted.',
      ],
      fields: [
        { kind: 'choice', name: 'set', label: 'Replication set', options: sets },
        { kind: 'choice', name: 'target', label: 'Target', options: targets },
      ],
      confirm: 'Simulate',
      argv: cli.simulate(source, set),
      action: { kind: 'simulate', set },
    });
  const mapping = num(values, 'mapping');
  const path = txt(values, 'path');
  const rule = server.sets.get(set)?.rules.find((one) => one.include);
  const mirror = CONNECT_MIRRORS[num(values, 'mirror')] ?? 'Difference';
  const replication = flag(values, 'replication');
  const link = findServer(app.fleet, target)?.link.kind === 'online';
  const where =
    mapping === 1
      ? 'the same directories'
      : mapping === 0
        ? `${path === '/' ? '' : path}/${server.hello?.name ?? source}/${set}/`
        : path;
  return plain({
    title: 'Connect',
    lines: [
      `${set} on ${source} is replicated to ${target}, into ${where}`,
      'Files there that have the same names are overwritten.',
    ],
    fields: [
      { kind: 'choice', name: 'set', label: 'Replication set', options: sets },
      { kind: 'choice', name: 'target', label: 'Target', options: targets },
      { kind: 'choice', name: 'mapping', label: 'Directories', options: MAPPINGS },
      ...(mapping === 1
        ? []
        : [
            {
              kind: 'text' as const,
              name: 'path',
              label: mapping === 0 ? 'Below' : 'Into',
              hint: 'a directory on the target',
            },
          ]),
      { kind: 'choice', name: 'mirror', label: 'Mirror', options: CONNECT_MIRRORS },
      { kind: 'check', name: 'replication', label: 'Start replication' },
    ],
    confirm: 'Connect',
    danger: false,
    argv: cli.connect(source, set, target, mapping, path, rule?.path ?? '/', mirror.toLowerCase(), replication),
    action: {
      kind: 'connect',
      set,
      target,
      mapping: (['all_to_one', 'one_to_one', 'custom'] as const)[mapping] ?? 'all_to_one',
      path,
      sourcePath: rule?.path ?? '/',
      mirror: (['difference', 'full', 'none'] as const)[num(values, 'mirror')] ?? 'difference',
      replication,
    },
    missing:
      mapping !== 1 && !path.startsWith('/')
        ? 'still needed: an absolute directory on the target'
        : mapping === 2 && path === '/'
          ? 'still needed: a directory on the target other than /'
          : link
            ? null
            : `${target} is not connected; log on to it first`,
  });
}
