/** understudy(1), made from the commander tree, the table of keys and the options of the cockpit. */
import type { Argument, Command, Option } from 'commander';
import { arg, example, literal, manual, prose, tagged, variable } from '../protocol/mdoc.js';
import { buildProgram } from './cli/index.js';
import { COCKPIT_OPTIONS } from './options.js';
import { keyName } from './screens/replication/key-list.js';
import { KEYS } from './screens/replication/keys.js';

/** `-f, --follow` in bold, what it takes in italics. */
function optionName(option: Option): string {
  return option.flags
    .split(/(,? +)/)
    .map((part) =>
      /^[<[]/.test(part)
        ? variable(part.replace(/[<>]/g, ''))
        : part.trim() === '' || part === ', '
          ? part
          : literal(part),
    )
    .join('');
}

function argumentName(argument: Argument): string {
  const name = variable(`${argument.name()}${argument.variadic ? '...' : ''}`);
  return argument.required ? name : `[${name}]`;
}

/** Why, what may be said, and what is meant when nothing is said. */
function optionText(option: Option): string[] {
  const choices = option.argChoices ? ` One of ${option.argChoices.join(', ')}.` : '';
  const preset =
    option.defaultValue !== undefined && typeof option.defaultValue !== 'boolean'
      ? ` Default: ${option.defaultValueDescription ?? String(option.defaultValue)}.`
      : '';
  return sentence(`${option.description}`, `${choices}${preset}`);
}

/** Descriptions of options and commands begin small and have no full stop; a page has sentences. */
function sentence(text: string, more = ''): string[] {
  const whole = text === '' ? '' : `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return prose(`${whole}${/[.!?]$/.test(whole) || whole === '' ? '' : '.'}${more}`);
}

function commands(command: Command, before: string): [string, string[]][] {
  const out: [string, string[]][] = [];
  for (const one of command.commands) {
    if (one.name() === 'help') continue;
    const name = `${before}${one.name()}`;
    if (one.commands.length > 0) {
      out.push(...commands(one, `${name} `));
      continue;
    }
    const options = one.options.filter((option) => !option.hidden);
    const args = one.registeredArguments.map(argumentName).join(' ');
    out.push([
      `${literal(name)}${args === '' ? '' : ` ${args}`}${options.length > 0 ? ' [options]' : ''}`,
      [
        ...sentence(one.description()),
        ...tagged(options.map((option) => [optionName(option), optionText(option)] as const)),
      ],
    ]);
  }
  return out;
}

function keys(): string[] {
  const groups = [...new Set(KEYS.map((key) => key.group))];
  return groups.flatMap((group) => [
    `.Ss ${group}`,
    ...tagged(
      KEYS.filter((key) => key.group === group).map(
        (key) =>
          [
            key.keys.map((name) => literal(keyName(name))).join(', '),
            sentence(
              key.help,
              `${key.where ? ` Only in: ${key.where.join(', ')}.` : ''}${key.intent.do === 'dialog' ? ' Asks first.' : ''}`,
            ),
          ] as const,
      ),
    ),
  ]);
}

/** @returns the page in mdoc(7) */
export function understudyPage(): string {
  const program = buildProgram();
  return manual(
    'understudy',
    1,
    'mirror and replicate directories between servers, and watch it',
    [
      [
        'SYNOPSIS',
        [
          '.Nm',
          ...COCKPIT_OPTIONS.map(([flag]) => {
            const [name = '', value] = flag.split(' ');
            return `.Op Fl ${arg(name.slice(1))}${value ? ` Ar ${arg(value.toLowerCase())}` : ''}`;
          }),
          '.Nm',
          '.Op Fl \\-json',
          '.Op Fl \\-quiet',
          '.Ar command',
          '.Op Ar ...',
        ],
      ],
      [
        'DESCRIPTION',
        [
          '.Nm',
          'speaks to the agents of one or more servers, over their local socket or through SSH.',
          'Without a command it opens the cockpit: servers and replication sets on the left, connections with their',
          'statistics and charts on the right, messages below.',
          'With a command it does one thing and ends; everything the cockpit can do has a command.',
          '.Pp',
          'Members of the group',
          literal('usadmin'),
          'on a server, and root, may change things there; members of',
          literal('usmon'),
          'may look.',
          'A set is written',
          `${variable('server')}:${variable('set')};`,
          'the server may be left out where only one is known.',
          'A connection is written as its number, or',
          `${variable('server')}:${variable('number')}.`,
          '.Pp',
          'Options of the cockpit:',
          ...tagged(
            COCKPIT_OPTIONS.map(([flag, why]) => {
              const [name = '', value] = flag.split(' ');
              return [`${literal(name)}${value ? ` ${variable(value.toLowerCase())}` : ''}`, prose(why)] as const;
            }),
          ),
          '.Pp',
          'Options of every command:',
          ...tagged(program.options.map((option) => [optionName(option), optionText(option)] as const)),
        ],
      ],
      ['COMMANDS', tagged(commands(program, ''))],
      ['KEYS', ['In the cockpit.', 'A key that is not possible now stays in sight and says why.', ...keys()]],
      [
        'ENVIRONMENT',
        tagged([
          [literal('UNDERSTUDY_CONFIG_DIR'), prose('Folder of the files below, instead of the usual ones.')],
          [literal('XDG_CONFIG_HOME'), prose('Instead of ~/.config.')],
          [literal('XDG_STATE_HOME'), prose('Instead of ~/.local/state.')],
          [literal('NO_COLOR'), prose('When set and not empty: no colours.')],
          [
            literal('ESCDELAY'),
            prose('Milliseconds that the rest of an escape sequence may take: 25, through SSH 100.'),
          ],
          [literal('SSH_AUTH_SOCK'), prose('The SSH agent that is asked for keys.')],
          [
            `${literal('LC_ALL')}, ${literal('LC_CTYPE')}, ${literal('LANG')}`,
            prose('Whether the terminal understands UTF-8.'),
          ],
        ]),
      ],
      [
        'FILES',
        tagged(
          [
            ['.config/understudy/servers.json', prose('The servers that are known.')],
            [
              '.config/understudy/known_hosts',
              prose('Host keys that were accepted here; those of ssh(1) count as well.'),
            ],
            ['.config/understudy/themes/', prose('Themes of your own.')],
            ['.config/understudy/columns.json', prose('The columns chosen for the table.')],
            [
              '.local/state/understudy/seen/',
              prose('What was seen last of each server, to show something before it answers.'),
            ],
            ['/run/understudy/agent.sock', prose('The socket of the agent on this machine.')],
          ].map(([name, body]) => [`.Pa ${name as string}`.slice(1).replace(/^Pa /, 'Pa '), body as string[]] as const),
        ),
      ],
      [
        'EXIT STATUS',
        tagged([
          ['0', prose('Done.')],
          ['1', prose('It failed; the message says why and what to do.')],
          ['2', prose('The command line is not understood.')],
          ['3', prose('A server cannot be reached, or does not let you in.')],
          ['4', prose('Refused by a guard, to protect data.')],
          ['5', prose('It is in conflict with what is there.')],
          ['70', prose('An error nobody foresaw.')],
          ['75', prose('Not possible at the moment; try again.')],
        ]),
      ],
      [
        'EXAMPLES',
        example([
          'understudy server add alpha ssh://alpha.example.org',
          'understudy server add beta ssh://beta.example.org',
          'understudy set create alpha:www /srv/www',
          'understudy connect alpha:www beta --map /srv/www=/srv/www',
          'understudy status --watch',
          'understudy barrier 1',
        ]),
      ],
      ['SEE ALSO', ['.Xr ssh 1 ,', '.Xr understudy.toml 5 ,', '.Xr understudyd 8']],
    ],
    'the commands, options and keys of the program',
  );
}
