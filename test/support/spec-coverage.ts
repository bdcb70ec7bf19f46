/**
 * Which rows of the specification are proven: a row is done when the title of a test that runs cites it. Titles are read
 * from the sources, `QUE-01..08` and `MIR-06, 07` are taken apart, and nothing else counts.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { CATALOGUE } from '../../protocol/errors.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const FILES_SHOWN_MAX = 3;
const ROWS_SHOWN_MAX = 6;

export interface SpecRow {
  readonly id: string;
  readonly section: string;
  readonly title: string;
}
export interface Title {
  /** From the root of the repository. */
  readonly file: string;
  readonly text: string;
}
/** A test with what stands in it. */
export interface Body extends Title {
  readonly body: string;
}

function lines(file: string): string[][] {
  return readFileSync(join(ROOT, file), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split('\t'));
}

export const specRows = (): SpecRow[] =>
  lines('test/spec/rows.tsv').map(([id = '', section = '', title = '']) => ({ id, section, title }));

/** Rows that a text names. A range names every row of `known` between its ends, and both ends whether known or not. */
export function citedRows(text: string, known: ReadonlySet<string>): string[] {
  const found = new Set<string>();
  let last: { area: string; number: number } | null = null;
  const piece = /\b([A-Z]{3})-(\d{2,3})(?!\d)|\.\.(?:[A-Z]{3}-)?(\d{2,3})(?!\d)|(?:,\s|\/)(\d{2,3})(?![\d\w])/y;
  for (let at = 0; at < text.length; ) {
    piece.lastIndex = at;
    const match = piece.exec(text);
    // A suffix counts only right behind a row.
    if (!match || (match[1] === undefined && last === null)) {
      last = null;
      at += 1;
      continue;
    }
    const id = (area: string, number: number): string => `${area}-${String(number).padStart(2, '0')}`;
    const area: string = match[1] ?? last?.area ?? '';
    const number = Number(match[2] ?? match[3] ?? match[4]);
    if (match[3] !== undefined && last)
      for (let inner = last.number + 1; inner < number; inner++)
        if (known.has(id(area, inner))) found.add(id(area, inner));
    found.add(id(area, number));
    last = { area, number };
    at += match[0].length;
  }
  return [...found];
}

function textOf(node: ts.Expression | undefined): string | null {
  if (!node) return null;
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isTemplateExpression(node))
    return [node.head.text, ...node.templateSpans.map((span) => span.literal.text)].join('…');
  return null;
}

/** The tests of one TypeScript file. One that is never run (`skip`, `todo`, `failing`) proves nothing. */
export function testsIn(file: string, source: string): Body[] {
  const tests: Body[] = [];
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.arguments.length >= 2) {
      const text = textOf(node.arguments[0]);
      const never = /^test(\.\w+)*\.(skip|todo|failing)$/.test(node.expression.getText(tree));
      const body = node.arguments.at(-1) as ts.Node;
      const runs = ts.isArrowFunction(body) || (ts.isIdentifier(body) && /test/.test(node.expression.getText(tree)));
      if (text !== null && !never && runs) tests.push({ file, text, body: body.getText(tree) });
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return tests;
}

function filesBelow(folder: string, ending: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .sort();
}

export const allTests = (): Body[] =>
  filesBelow('test', /\.test\.ts$/).flatMap((file) => testsIn(file, readFileSync(join(ROOT, file), 'utf8')));

export function allTitles(): Title[] {
  const native = filesBelow('native/test', /_test\.cc$/).flatMap((file) =>
    [...readFileSync(join(ROOT, file), 'utf8').matchAll(/^TEST\("((?:[^"\\]|\\.)*)"/gm)].map((match) => ({
      file,
      text: match[1] ?? '',
    })),
  );
  return [...allTests(), ...native];
}

export interface Coverage {
  readonly rows: readonly SpecRow[];
  /** Files by row. */
  readonly proven: ReadonlyMap<string, ReadonlySet<string>>;
  readonly notApplicable: ReadonlyMap<string, string>;
  /** Titles that cite a row which does not exist. */
  readonly unknown: readonly string[];
}

export function coverage(titles: readonly Title[] = allTitles()): Coverage {
  const rows = specRows();
  const known = new Set(rows.map((row) => row.id));
  const areas = new Set(rows.map((row) => row.id.slice(0, 3)));
  const proven = new Map<string, Set<string>>();
  const unknown: string[] = [];
  for (const { file, text } of titles)
    for (const id of citedRows(text, known)) {
      if (known.has(id)) proven.set(id, (proven.get(id) ?? new Set()).add(file));
      else if (areas.has(id.slice(0, 3))) unknown.push(`${file}: ${id} in "${text}"`);
    }
  const notApplicable = new Map<string, string>();
  for (const [range = '', reason = ''] of lines('test/spec/not-applicable.tsv'))
    for (const id of citedRows(range, known)) {
      if (!known.has(id)) unknown.push(`test/spec/not-applicable.tsv: ${id}`);
      notApplicable.set(id, reason);
    }
  return { rows, proven, notApplicable, unknown };
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

const fileList = (files: Iterable<string>): string => {
  const names = [...new Set(files)].sort();
  const shown = names.slice(0, FILES_SHOWN_MAX).map((name) => `\`${name}\``);
  return `${shown.join(', ')}${names.length > FILES_SHOWN_MAX ? ', …' : ''}`;
};

/** What a row is: a test decides before a list does. */
function stateOf({ proven, notApplicable }: Coverage, id: string): readonly [string, string] {
  const files = proven.get(id);
  const reason = notApplicable.get(id);
  if (files) {
    return ['done', `${fileList(files)}${reason === undefined ? '' : `; otherwise than written: ${reason}`}`];
  }
  return reason === undefined ? ['not yet', ''] : ['N/A', reason];
}

export interface Proof {
  readonly file: string;
  /** Rows of the specification, invariants and promises (`I8`, `P28`, `T2`, `DESIGN 6`) that the title names. */
  readonly rows: readonly string[];
}

/** By message of the catalogue: the tests that speak of it by its code, and whose title says what for. */
export function messageProofs(tests: readonly Body[] = allTests()): ReadonlyMap<string, readonly Proof[]> {
  const known = new Set(specRows().map((row) => row.id));
  const found = new Map<string, Proof[]>(Object.keys(CATALOGUE).map((code) => [code, []]));
  for (const { file, text, body } of tests) {
    const rows = citedRows(text, known).filter((id) => known.has(id));
    rows.push(...(text.match(/\b[IPT]\d{1,2}\b|\bDESIGN \d+\b/g) ?? []));
    if (rows.length === 0) continue;
    for (const code of new Set(body.match(/\b[A-Z][A-Z0-9_]+\b/g) ?? [])) found.get(code)?.push({ file, rows });
  }
  return found;
}

function messageTable(proofs: ReadonlyMap<string, readonly Proof[]>): string[] {
  const rowOf = ([code, list]: [string, readonly Proof[]]): string =>
    `| ${code} | ${[...new Set(list.flatMap(({ rows }) => rows))].slice(0, ROWS_SHOWN_MAX).join(', ') || 'no test'} | ${fileList(list.map(({ file }) => file))} |`;
  return [
    '## Messages',
    '',
    'Every message of the catalogue (`docs/messages.md`), what the tests that speak of it are for, and where they are.',
    '',
    '| Message | For | Proven in |',
    '|---|---|---|',
    ...[...proofs].sort(([a], [b]) => (a < b ? -1 : 1)).map(rowOf),
    '',
  ];
}

export function coveragePage(found: Coverage = coverage()): string {
  const sections = [...new Set(found.rows.map((row) => row.section))];
  const count = (rows: readonly SpecRow[], state: string): number =>
    rows.filter((row) => stateOf(found, row.id)[0] === state).length;
  const total = (name: string, rows: readonly SpecRow[]): string =>
    `| ${name} | ${rows.length} | ${count(rows, 'done')} | ${count(rows, 'not yet')} | ${count(rows, 'N/A')} |`;
  const out = [
    '# What of the specification is proven',
    '',
    'Made by `npm run docs` from the titles of the tests; do not edit. *done*: the title of a test cites the row, and the',
    'test runs. It says that what the test shows is there, not that nothing of the row is missing; where the test shows',
    'that it was decided otherwise, the reason stands behind it. *N/A*: decided otherwise, with the reason. *not yet*: no',
    'test cites it, whether or not something of it works.',
    '',
    '| Section | Rows | done | not yet | N/A |',
    '|---|--:|--:|--:|--:|',
    ...sections.map((name) =>
      total(
        name,
        found.rows.filter((row) => row.section === name),
      ),
    ),
    total('All', found.rows),
    '',
  ];
  for (const name of sections) {
    out.push(`## ${name}`, '', '| Row | What | State | Proven in, or why not |', '|---|---|---|---|');
    for (const row of found.rows.filter((one) => one.section === name)) {
      const [state, why] = stateOf(found, row.id);
      out.push(`| ${row.id} | ${cell(row.title)} | ${state} | ${cell(why)} |`);
    }
    out.push('');
  }
  out.push(...messageTable(messageProofs()));
  return `${out.join('\n').trimEnd()}\n`;
}
