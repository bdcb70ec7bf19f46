/** The command palette: the command line's verbs, names that fitTo, and a few words of the cockpit's own. */
import type { App } from '../../model/app.js';

export interface Suggestion {
  /** The whole line when taken. */
  readonly insert: string;
  readonly shown: string;
  readonly why: string;
}

const OWN = [
  { name: 'theme', args: 'NAME', why: 'change the theme' },
  { name: 'ascii', args: '', why: 'plain signs' },
  { name: 'unicode', args: '', why: 'drawn signs' },
  { name: 'quit', args: '', why: 'leave the cockpit' },
] as const;

/** What a console that was started read-only may run: commands that only look. */
const LOOKING = new Set([
  ...['status', 'logs', 'doctor', 'health', 'metrics', 'stats', 'estimate', 'help', '--help', '--version'],
  ...['server list', 'server show', 'set list', 'set show', 'peer show', 'grant list', 'config show', 'config check'],
  ...['task list', 'task show', 'bookmark list', 'bookmark show', 'verify log', 'transmit show'],
  ...['mail show', 'snmp show', 'quarantine'],
]);
/** Commands below one of them that do more than look. */
const CHANGING = new Set(['quarantine retry']);

export function onlyLooks(argv: readonly string[]): boolean {
  const [verb = '', command = ''] = argv;
  if (argv.includes('--help')) return true;
  const both = `${verb} ${command}`;
  return !CHANGING.has(both) && (LOOKING.has(verb) || LOOKING.has(both));
}

const LIST_MAX = 8;

export function suggestions(app: App, line: string): Suggestion[] {
  const typed = line.trimStart();
  if (typed.startsWith('theme ')) {
    const part = typed.slice(6);
    return app.themes
      .filter((name) => name.startsWith(part) && name !== part)
      .map((name) => ({ insert: `theme ${name}`, shown: name, why: 'theme' }));
  }
  const verbs = [...app.verbs, ...OWN];
  const exact = verbs
    .filter((verb) => typed === verb.name || typed.startsWith(`${verb.name} `))
    .sort((a, b) => b.name.length - a.name.length)[0];
  if (exact && typed.length > exact.name.length) {
    const words = typed.split(' ');
    const last = words.at(-1) ?? '';
    const before = words.slice(0, -1).join(' ');
    return names(app, exact.args)
      .filter((name) => name.startsWith(last) && name !== last)
      .slice(0, LIST_MAX)
      .map((name) => ({ insert: `${before} ${name}`, shown: name, why: exact.why }));
  }
  const begin = verbs.filter((verb) => verb.name.startsWith(typed));
  const within = verbs.filter((verb) => !verb.name.startsWith(typed) && typed.length > 1 && verb.name.includes(typed));
  return [...begin, ...within]
    .slice(0, LIST_MAX)
    .map((verb) => ({ insert: verb.name, shown: verb.args ? `${verb.name} ${verb.args}` : verb.name, why: verb.why }));
}

/** Names that an argument of this kind may take. */
function names(app: App, args: string): string[] {
  const servers = app.fleet.servers.map((server) => server.name);
  const sets = app.fleet.servers.flatMap((server) => [...server.sets.keys()].map((set) => `${server.name}:${set}`));
  const ids = app.fleet.servers.flatMap((server) =>
    [...server.connections.values()].map((item) => `${server.name}:${item.id}`),
  );
  const out: string[] = [];
  if (/\bID\b|connection/i.test(args)) out.push(...ids);
  if (/SET\b|set\b/i.test(args)) out.push(...sets);
  if (/SERVER|NAME|server/i.test(args) || out.length === 0) out.push(...servers);
  return out;
}

/** What all suggestions have in common; a space when only one is left. */
export function complete(line: string, list: readonly Suggestion[]): string {
  const [first] = list;
  if (!first) return line;
  if (list.length === 1) return `${first.insert} `;
  let common = first.insert;
  for (const one of list) while (!one.insert.startsWith(common)) common = common.slice(0, -1);
  return common.length > line.length ? common : line;
}

/** Words as a shell would split them, with quotes and backslash; null when a quote is open. */
export function splitLine(line: string): string[] | null {
  const words: string[] = [];
  let word = '';
  let inWord = false;
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const char = line[i] ?? '';
    if (quote !== '') {
      if (char === quote) quote = '';
      else if (char === '\\' && quote === '"' && i + 1 < line.length) word += line[++i] ?? '';
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      inWord = true;
    } else if (char === '\\' && i + 1 < line.length) {
      word += line[++i] ?? '';
      inWord = true;
    } else if (char === ' ') {
      if (inWord) words.push(word);
      word = '';
      inWord = false;
    } else {
      word += char;
      inWord = true;
    }
  }
  if (quote !== '') return null;
  if (inWord) words.push(word);
  return words;
}
