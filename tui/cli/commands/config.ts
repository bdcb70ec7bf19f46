/** `understudy config`: settings of a server. */
import type { Command } from 'commander';
import { noticeRemedy, noticeText } from '../../../protocol/errors.js';
import {
  type Setting,
  type SettingChange,
  SettingsCheck,
  SettingsList,
  SettingsSet,
} from '../../../protocol/messages/index.js';
import { run, usage } from '../command.js';
import { columns, table, visible } from '../print.js';

/** `NAME=VALUE`; the value may hold anything. */
export function readChange(text: string): SettingChange {
  const cut = text.indexOf('=');
  if (cut <= 0) throw usage(`"${text}" must be written NAME=VALUE.`);
  return { key: text.slice(0, cut).trim(), value: text.slice(cut + 1) };
}

const VALUE_WIDTH_MAX = 40;
const short = (text: string): string =>
  columns(text) > VALUE_WIDTH_MAX ? `${[...text].slice(0, VALUE_WIDTH_MAX - 1).join('')}…` : text;

/** What a change still waits for. */
const pending = (setting: Setting): string => (setting.next === null ? '' : `restart: ${short(setting.next)}`);

export function settingsTable(settings: readonly Setting[]): string {
  return table(
    [
      { title: 'Setting' },
      { title: 'Value' },
      { title: 'Limits' },
      { title: 'From' },
      { title: 'Waits for' },
      { title: 'Row' },
      { title: 'Meaning' },
    ],
    settings.map((one) => [one.key, short(one.value), short(one.values), one.origin, pending(one), one.row, one.why]),
  );
}

export function changedText(settings: readonly Setting[]): string {
  return settings
    .map((one) =>
      one.next === null
        ? `${one.key} = ${visible(one.value)}\n`
        : `${one.key} = ${visible(one.next)} after the next start of the agent (now ${visible(one.value)})\n`,
    )
    .join('');
}

export function addConfigCommands(program: Command): void {
  const config = program.command('config').description('settings of a server');

  config
    .command('show')
    .description('settings with their value and where it comes from')
    .argument('<server>', 'server')
    .argument('[prefix]', 'only those whose name begins so, such as mail')
    .option('--changed', 'only those that are not at their default')
    .action(
      run(async ({ links, out }, server: string, prefix: string | undefined, flags: { changed?: boolean }) => {
        const { settings, secrets } = await (await links.client(server)).request(SettingsList, {});
        const wanted = (key: string): boolean => prefix === undefined || key.startsWith(prefix);
        const shown = settings.filter((one) => wanted(one.key) && (!flags.changed || one.origin !== 'default'));
        const kept = secrets.filter((one) => wanted(one.key));
        out.show(
          () =>
            settingsTable(shown) +
            (kept.length === 0
              ? ''
              : `\n${table(
                  [{ title: 'Secret' }, { title: 'State' }, { title: 'Row' }, { title: 'Meaning' }],
                  kept.map((one) => [one.key, one.set ? 'set' : 'not set', one.row, one.why]),
                )}`),
          { server, settings: shown, secrets: kept },
        );
      }),
    );

  config
    .command('set')
    .description('changes settings; they are kept and beat the configuration file')
    .argument('<server>', 'server')
    .argument('<changes...>', 'NAME=VALUE; NAME alone with --unset')
    .option('--unset', 'forget what was set: the configuration file or the default counts again')
    .action(
      run(async ({ links, out }, server: string, given: string[], flags: { unset?: boolean }) => {
        const changes = flags.unset ? given.map((key) => ({ key, value: null })) : given.map(readChange);
        const { settings, restart } = await (await links.client(server)).request(SettingsSet, { changes });
        out.show(() => changedText(settings), { server, settings, restart });
        if (restart) out.tell(`${server}: restart understudyd there for settings that are not obeyed at once`);
      }),
    );

  config
    .command('check')
    .description('reads the configuration file of a server again and says what a restart would bring')
    .argument('<server>', 'server')
    .argument('[changes...]', 'NAME=VALUE to try without doing it')
    .action(
      run(async ({ links, out }, server: string, given: string[]) => {
        const changes = given.map(readChange);
        const { problem, settings } = await (await links.client(server)).request(SettingsCheck, { changes });
        out.show(
          () => {
            if (problem) return `${visible(noticeText(problem))}\n${visible(noticeRemedy(problem))}\n`;
            if (settings.length === 0) return 'Valid; nothing would change.\n';
            return `Valid; this would change:\n${settings.map((one) => `  ${one.key}: ${visible(one.value)} -> ${visible(one.next ?? one.value)}\n`).join('')}`;
          },
          { server, valid: problem === null, problem, settings },
        );
        return problem ? 1 : 0;
      }),
    );
}
