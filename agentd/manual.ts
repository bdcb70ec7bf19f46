/** understudyd(8) and understudy.toml(5), made from the agent's command line and its table of settings. */
import { arg, example, literal, manual, prose, tagged, variable } from '../protocol/mdoc.js';
import { SETTINGS } from './core/settings/settings.js';
import { daemonCommand } from './flags.js';

export function daemonPage(): string {
  const options = daemonCommand().options.filter((option) => option.long !== '--version');
  const split = (flags: string): [string, string] => {
    const [name = '', value = ''] = flags.split(' ');
    return [name, value.replace(/[<>]/g, '')];
  };
  return manual(
    'understudyd',
    8,
    'agent that replicates directories to and from other servers',
    [
      [
        'SYNOPSIS',
        [
          '.Nm',
          ...options.map((option) => {
            const [name, value] = split(option.flags);
            return `.Op Fl ${arg(name.slice(1))} Ar ${arg(value)}`;
          }),
        ],
      ],
      [
        'DESCRIPTION',
        [
          '.Nm',
          'runs on every server and is source, target or both.',
          'As a source it captures every change below the directories of its replication sets and sends it over an',
          'encrypted link; as a target it writes below the directories that its administrator granted, and nowhere else.',
          'It is told what to do through its control socket, by',
          '.Xr understudy 1 .',
          'The kernel says who calls there: root and members of',
          literal('usadmin'),
          'may change things, members of',
          literal('usmon'),
          'may look, everybody else is told that there is an agent.',
          '.Pp',
          'Started by root it keeps owners and devices and captures by file-system marks.',
          'An ordinary user may run it, too, for directories of their own.',
          '.Pp',
          'Each option comes before the setting of the same meaning:',
          ...tagged(
            options.map((option) => {
              const [name, value] = split(option.flags);
              const text = option.description;
              return [
                `${literal(name)} ${variable(value)}`,
                prose(`${text.charAt(0).toUpperCase()}${text.slice(1)}.`),
              ] as const;
            }),
          ),
        ],
      ],
      [
        'SIGNALS',
        tagged([
          [
            literal('SIGTERM'),
            prose('Ends cleanly: what the targets know is written down. A second one does not wait for that.'),
          ],
          [literal('SIGHUP'), prose('Opens the log file anew, after it was moved away.')],
        ]),
      ],
      [
        'FILES',
        tagged([
          ['Pa /etc/understudy/understudy.toml', prose('Settings.')],
          ['Pa /run/understudy/agent.sock', prose('Control socket.')],
          ['Pa /var/lib/understudy', prose('State: sets, connections, grants, what was told to targets, the key.')],
          ['Pa /var/log/understudy', prose('Log files.')],
        ]),
      ],
      [
        'EXIT STATUS',
        tagged([
          ['0', prose('Ended cleanly.')],
          ['70', prose('An error nobody foresaw; start it again, connections repair themselves.')],
          ['73', prose('Something it needs cannot be created: a folder, the socket, the listening port.')],
          ['78', prose('The configuration is wrong; starting again does not help.')],
        ]),
      ],
      ['SEE ALSO', ['.Xr understudy 1 ,', '.Xr understudy.toml 5']],
    ],
    "the agent's command line",
  );
}

export function settingsManual(): string {
  const tables = [...new Set(SETTINGS.map((entry) => entry.key.split('.')[0] ?? ''))];
  return manual(
    'understudy.toml',
    5,
    'settings of the Understudy agent',
    [
      [
        'DESCRIPTION',
        [
          'The file',
          '.Pa /etc/understudy/understudy.toml',
          'holds what is to differ from the defaults, in TOML.',
          'A key that is not known is an error, and the agent says which one was probably meant.',
          'Options of',
          '.Xr understudyd 8',
          'come before the file, and so does what was changed by',
          `${literal('understudy config set')}.`,
        ],
      ],
      ...tables.map((table) => {
        const items = SETTINGS.filter((entry) => entry.key.startsWith(`${table}.`)).map((entry) => {
          const values =
            entry.kind === 'choice'
              ? entry.choices.map((one) => `"${one}"`).join(', ')
              : entry.kind === 'whole'
                ? `${entry.min} to ${entry.max}`
                : entry.kind === 'flag'
                  ? 'true or false'
                  : 'text';
          const preset = entry.preset === '' ? 'empty' : String(entry.preset);
          return [
            `${literal(entry.key.slice(table.length + 1))}`,
            [
              ...prose(`${entry.why.charAt(0).toUpperCase()}${entry.why.slice(1)}.`),
              ...prose(`Values: ${values}.`),
              ...prose(`Default: ${preset}.`),
            ],
          ] as const;
        });
        return [`TABLE [${table}]`, tagged(items)] as const;
      }),
      ['EXAMPLES', example(['[agent]', 'listen = "192.0.2.7:1500"', '', '[log]', 'files = 20'])],
      ['SEE ALSO', ['.Xr understudy 1 ,', '.Xr understudyd 8']],
    ],
    "the agent's table of settings",
  );
}
