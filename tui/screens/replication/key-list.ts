/** Lists made of the key table: the actions menu, names of keys, the reference page. */
import type { App } from '../../model/app.js';
import { KEYS, type Key } from './keys.js';
import { selectedRow } from './tables.js';

export interface Available {
  readonly key: Key;
  readonly reason: string | null;
}

export function blockedReason(app: App, key: Key): string | null {
  return key.blocked?.(app) ?? null;
}

/** What the actions menu lists: whatever concerns the selection, possible or not. */
export function actionsFor(app: App): Available[] {
  const row = selectedRow(app);
  return KEYS.filter((key) => (key.group === 'Connection' || key.group === 'Server') && key.intent.do !== 'menu')
    .filter(
      (key) =>
        row?.kind === 'connection' ||
        key.group === 'Server' ||
        key.intent.do !== 'dialog' ||
        key.intent.dialog === 'connect',
    )
    .map((key) => ({ key, reason: blockedReason(app, key) }));
}

const NAMES: Readonly<Record<string, string>> = {
  up: 'Up',
  down: 'Down',
  left: 'Left',
  right: 'Right',
  pageup: 'PgUp',
  pagedown: 'PgDn',
  home: 'Home',
  end: 'End',
  tab: 'Tab',
  'S-tab': 'S-Tab',
  enter: 'Enter',
  escape: 'Esc',
  backspace: 'Bksp',
  space: 'Space',
  delete: 'Del',
  f1: 'F1',
  f5: 'F5',
  f10: 'F10',
};

/** A key as people write it: `Ctrl-P` as `^P`, `g g` as `gg`. */
export function keyName(key: string): string {
  const named = NAMES[key];
  if (named) return named;
  if (key.startsWith('C-')) return `^${key.slice(2).toUpperCase()}`;
  return key.replace(' ', '');
}

/** The table as a Markdown page, for docs/keys.md. */
export function keysPage(): string {
  const lines = [
    '# Keys of the cockpit',
    '',
    'Made from `tui/screens/replication/keys.ts`; a test fails when this page is stale.',
    'In the program, `?` shows the same list and `a` shows what can be done with the selection.',
  ];
  for (const group of ['Move', 'Look', 'Connection', 'Server', 'Messages', 'Program'] as const) {
    lines.push('', `## ${group}`, '', '| Key | Label | What it does |', '| --- | --- | --- |');
    for (const key of KEYS.filter((one) => one.group === group)) {
      const names = key.keys.map((name) => `\`${keyName(name).replaceAll('|', '\\|')}\``).join(' ');
      const where = key.where ? ` (in: ${key.where.join(', ')})` : '';
      const asks = key.intent.do === 'dialog' ? ' Asks first.' : '';
      lines.push(`| ${names} | ${key.label} | ${key.help}${where}.${asks} |`);
    }
  }
  lines.push('');
  return lines.join('\n');
}
