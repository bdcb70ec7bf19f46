/** `understudy set`: replication sets. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { z } from 'zod';
import type { Client } from '../../../protocol/client.js';
import { failure } from '../../../protocol/errors.js';
import {
  Rule,
  SetContinue,
  SetDelete,
  type SetItem,
  SetList,
  SetRename,
  SetRescan,
  SetSave,
  SetSize,
} from '../../../protocol/messages/index.js';
import { problemOf } from '../../../protocol/schema.js';
import { formatBytes, formatCount, formatWallTime } from '../../../protocol/units.js';
import { collect, type Run, run, usage } from '../command.js';
import { type Output, properties, table, visible } from '../print.js';
import { splitName } from '../servers.js';

interface RuleFlags {
  include?: string[];
  exclude?: string[];
  includeFlat?: string[];
  excludeFlat?: string[];
}

/** SET-22, SET-23: what an exported set looks like. */
const Exported = z.object({ understudySet: z.literal(1), name: z.string(), rules: z.array(Rule) });

function rulesOf(paths: readonly string[], flags: RuleFlags): Rule[] {
  const make = (list: readonly string[] | undefined, include: boolean, recursive: boolean): Rule[] =>
    (list ?? []).map((path) => ({ path, include, recursive }));
  return [
    ...make(paths, true, true),
    ...make(flags.include, true, true),
    ...make(flags.includeFlat, true, false),
    ...make(flags.exclude, false, true),
    ...make(flags.excludeFlat, false, false),
  ];
}

const ruleText = (rule: Rule): string =>
  `${rule.path} ${rule.include ? 'inc' : 'exc'}, ${rule.recursive ? 'rec' : 'non-rec'}`;

async function find(client: Client, name: string): Promise<SetItem> {
  const { sets } = await client.request(SetList, {});
  const set = sets.find((one) => one.name === name);
  if (!set) throw failure('SET_UNKNOWN', { set: name });
  return set;
}

async function open({ links }: Run, text: string): Promise<{ client: Client; server: string; name: string }> {
  const { server, rest } = splitName(text, links.servers);
  return { client: await links.client(server), server, name: rest };
}

function showSet(out: Output, server: string, set: SetItem): void {
  out.show(
    () =>
      properties([
        ['Set', `${server}:${set.name}`],
        ['Generation', String(set.generation)],
        ['Saved', formatWallTime(set.saved)],
        ['State', set.state],
        ['Capture', set.capture ?? ''],
        ['Connections', set.connections.join(', ')],
        [
          'Size',
          set.bytes === null
            ? 'not calculated'
            : `${formatCount(set.files ?? 0)} files, ${formatCount(set.directories ?? 0)} directories, ${formatBytes(set.bytes)}`,
        ],
        ...(set.outdated
          ? ([
              [
                'Note',
                'a connection runs with an older definition: disconnect, reconnect and run a difference mirror (SET-16)',
              ],
            ] as const)
          : []),
        ...(set.problem
          ? ([
              ['Problem', set.problem.text],
              ['Remedy', set.problem.remedy],
            ] as const)
          : []),
        ...set.rules.map((rule, at): [string, string] => [at === 0 ? 'Rules' : '', ruleText(rule)]),
      ]),
    { server, set },
  );
}

function tellSaved(out: Output, discarded: readonly Rule[], connected: boolean): void {
  for (const rule of discarded) out.tell(`left out, another rule says it already (SET-06): ${visible(ruleText(rule))}`);
  if (connected) out.tell('the set is connected: disconnect, reconnect and run a difference mirror (SET-16)');
}

export function addSetCommands(program: Command): void {
  const set = program.command('set').description('replication sets');
  const withRules = (command: Command): Command =>
    command
      .option('--include <path>', 'adds a directory, a file or a wildcard with all below it; may be repeated', collect)
      .option('--exclude <path>', 'leaves it out; may be repeated', collect)
      .option('--include-flat <path>', 'adds it without the directories below', collect)
      .option('--exclude-flat <path>', 'leaves it out, but not the directories below', collect);

  withRules(set.command('create'))
    .description('creates a set')
    .argument('<server:set>', 'server and name of the set')
    .argument('[paths...]', 'directories to include')
    .action(
      run(async (it, text: string, paths: string[], flags: RuleFlags) => {
        const { client, server, name } = await open(it, text);
        const saved = await client.request(SetSave, { name, rules: rulesOf(paths, flags), generation: null });
        tellSaved(it.out, saved.discarded, saved.connected);
        it.out.show(`${server}:${name} created\n`, { server, set: saved.set });
      }),
    );

  withRules(set.command('edit'))
    .description('adds and removes rules')
    .argument('<server:set>', 'set')
    .option('--remove <path>', 'removes the rules with this path; may be repeated', collect)
    .action(
      run(async (it, text: string, flags: RuleFlags & { remove?: string[] }) => {
        const { client, server, name } = await open(it, text);
        const before = await find(client, name);
        for (const path of flags.remove ?? [])
          if (!before.rules.some((rule) => rule.path === path))
            throw failure('RULE_INVALID', { path, problem: 'the set has no such rule' });
        const added = rulesOf([], flags);
        if (added.length === 0 && !flags.remove)
          throw usage('Nothing to change: give --include, --exclude or --remove.');
        const kept = before.rules.filter(
          (rule) => !flags.remove?.includes(rule.path) && !added.some((one) => one.path === rule.path),
        );
        const saved = await client.request(SetSave, {
          name,
          rules: [...kept, ...added],
          generation: before.generation,
        });
        tellSaved(it.out, saved.discarded, saved.connected);
        it.out.show(`${server}:${name} saved as generation ${saved.set.generation}\n`, { server, set: saved.set });
      }),
    );

  set
    .command('list')
    .description('lists the sets of one server, or of all')
    .argument('[server]', 'server')
    .action(
      run(async ({ links, out }, server: string | undefined) => {
        const reached = await links.some(server);
        const sets: (SetItem & { server: string })[] = [];
        for (const {
          server: { name },
          client,
          error,
        } of reached) {
          if (error) out.tell(`${name}: ${error.message}`);
          if (client) for (const item of (await client.request(SetList, {})).sets) sets.push({ server: name, ...item });
        }
        const rows = sets.map((item) => [
          `${item.server}:${item.name}`,
          item.state,
          item.connections.join(', '),
          item.bytes === null ? '' : formatBytes(item.bytes),
          String(item.rules.length),
          item.problem?.text ?? '',
        ]);
        out.show(
          table(
            [
              { title: 'Set' },
              { title: 'State' },
              { title: 'Connections' },
              { title: 'Size', right: true },
              { title: 'Rules', right: true },
              { title: 'Problem' },
            ],
            rows,
          ),
          { sets },
        );
      }),
    );

  set
    .command('show')
    .description('shows a set with its rules')
    .argument('<server:set>', 'set')
    .action(
      run(async (it, text: string) => {
        const { client, server, name } = await open(it, text);
        showSet(it.out, server, await find(client, name));
      }),
    );

  set
    .command('size')
    .description('calculates the size of a set (SET-19)')
    .argument('<server:set>', 'set')
    .action(
      run(async (it, text: string) => {
        const { client, server, name } = await open(it, text);
        const size = await client.request(SetSize, { name }, { signal: it.signal });
        it.out.show(
          `${formatBytes(size.bytes)} in ${formatCount(size.files)} files and ${formatCount(size.directories)} directories, as of ${formatWallTime(size.at)}\n`,
          { server, name, ...size },
        );
      }),
    );

  set
    .command('export')
    .description('writes a set as JSON, to standard output or a file (SET-22)')
    .argument('<server:set>', 'set')
    .argument('[file]', 'file')
    .action(
      run(async (it, text: string, file: string | undefined) => {
        const { client, name } = await open(it, text);
        const { rules } = await find(client, name);
        const document = `${JSON.stringify({ understudySet: 1, name, rules }, null, 2)}\n`;
        if (file === undefined) process.stdout.write(document);
        else {
          writeFileSync(file, document, { flag: 'wx' });
          it.out.show(`${name} written to ${file}\n`, { name, file });
        }
      }),
    );

  set
    .command('import')
    .description('saves a set from exported JSON (SET-23)')
    .argument('<server>', 'server')
    .argument('<file>', 'file, - for standard input')
    .option('--name <name>', 'another name than the original')
    .action(
      run(async (it, server: string, file: string, flags: { name?: string }) => {
        const text = readFileSync(file === '-' ? 0 : file, 'utf8');
        let value: unknown;
        try {
          value = JSON.parse(text);
        } catch {
          throw usage(`${file} is not JSON.`);
        }
        const read = Exported.safeParse(value);
        if (!read.success) throw usage(`${file} is not an exported set: ${problemOf(read.error)}.`);
        const name = flags.name ?? read.data.name;
        const saved = await (await it.links.client(server)).request(SetSave, {
          name,
          rules: read.data.rules,
          generation: null,
        });
        tellSaved(it.out, saved.discarded, saved.connected);
        it.out.show(`${server}:${name} created\n`, { server, set: saved.set });
      }),
    );

  set
    .command('rename')
    .description('renames a set, or copies it (SET-17)')
    .argument('<server:set>', 'set')
    .argument('<name>', 'new name')
    .option('--copy', 'keep the original')
    .action(
      run(async (it, text: string, to: string, flags: { copy?: boolean }) => {
        const { client, server, name } = await open(it, text);
        const renamed = await client.request(SetRename, { name, to, copy: flags.copy === true });
        it.out.show(`${server}:${to} ${flags.copy ? 'copied from' : 'was'} ${name}\n`, { server, set: renamed.set });
      }),
    );

  set
    .command('delete')
    .description('deletes a set that is not connected (SET-24)')
    .argument('<server:set>', 'set')
    .action(
      run(async (it, text: string) => {
        const { client, server, name } = await open(it, text);
        await client.request(SetDelete, { name });
        it.out.show(`${server}:${name} deleted\n`, { server, deleted: name });
      }),
    );

  set
    .command('continue')
    .description('goes on with a set that a guard has stopped')
    .argument('<server:set>', 'set')
    .option('--accept-deletes', 'delete on the targets what is gone here, this once')
    .action(
      run(async (it, text: string, flags: { acceptDeletes?: boolean }) => {
        const { client, server, name } = await open(it, text);
        const { state } = await client.request(SetContinue, { name, acceptDeletes: flags.acceptDeletes === true });
        it.out.show(`${server}:${name} goes on (${state})\n`, { server, name, state });
      }),
    );

  set
    .command('rescan')
    .description('compares a connected set with what was told to its targets')
    .argument('<server:set>', 'set')
    .action(
      run(async (it, text: string) => {
        const { client, server, name } = await open(it, text);
        await client.request(SetRescan, { name });
        it.out.show(`${server}:${name} is compared again\n`, { server, name });
      }),
    );
}
