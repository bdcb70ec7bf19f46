/** Pages made from the agent's tables: `node dist/agentd/reference.js states` and `... settings`. */
import { LINK_TABLE } from './core/connection/table.js';
import type { Row } from './core/machine.js';
import { MIRROR_TABLE } from './core/mirror/table.js';
import type { Field } from './core/settings/field.js';
import { SETTINGS } from './core/settings/settings.js';
import { SOURCE_TABLE } from './core/source/table.js';
import { STALL_TABLE } from './core/stall/table.js';
import { TASK_TABLE } from './core/task/table.js';
import { SCHEDULE_TABLE } from './core/verify/table.js';
import { MANUAL_TABLE, SESSION_TABLE } from './core/transmit/table.js';

const cell = (text: string): string => text.replaceAll('|', '\\|');

function life(title: string, first: string, table: readonly Row<string, string, string>[]): string[] {
  const lines = [`## ${title}`, '', '```mermaid', 'stateDiagram-v2', `  [*] --> ${first}`];
  for (const row of table)
    for (const from of row.from) if (from !== row.to) lines.push(`  ${from} --> ${row.to}: ${row.on}`);
  lines.push('```', '', '| In | when | then | does | because |', '|---|---|---|---|---|');
  for (const row of table)
    lines.push(`| ${row.from.join(', ')} | ${row.on} | ${row.to} | ${row.act.join(', ')} | ${cell(row.why)} |`);
  lines.push('');
  return lines;
}

/** Every life of the agent as a diagram and a table. */
export function statesPage(): string {
  return `${[
    '# States',
    '',
    'Made from the tables in `agentd/core` by `node dist/agentd/reference.js states`; do not edit. What is not in a table',
    'changes nothing: a late event is ignored, a person who asks for it is told that it is not possible now.',
    '',
    ...life('Data link of a connection', 'opening', LINK_TABLE),
    ...life('Movement of a connection that has a link', 'moving', STALL_TABLE),
    ...life('Mirror of a connection', 'idle', MIRROR_TABLE),
    ...life('Schedule of verifications of a connection', 'off', SCHEDULE_TABLE),
    ...life('Task command, on its source', 'waiting', TASK_TABLE),
    ...life('Capture of a connected set', 'idle', SOURCE_TABLE),
    ...life('Transmission of a connection, as a person wants it', 'flowing', MANUAL_TABLE),
    ...life('Sessions to a target address', 'realtime', SESSION_TABLE),
  ]
    .join('\n')
    .trimEnd()}\n`;
}

/** Every setting; keys are `table.key` of the TOML file. */
export function settingsPage(): string {
  const lines = [
    '# Settings',
    '',
    'Made from `agentd/core/settings` by `node dist/agentd/reference.js settings`; do not edit. The file is',
    '`/etc/understudy/understudy.toml`, or what `--config` names; `agent.name` means `name` in the table `[agent]`. Unknown',
    'keys are errors. `understudy config set SERVER NAME=VALUE` changes one while the agent runs; what was set there is kept',
    'in the state folder and beats the file. Where *Live* is empty the change takes effect when the agent starts again.',
    '',
    '| Setting | Default | Values | Live | Row | Meaning |',
    '|---|---|---|---|---|---|',
  ];
  for (const entry of SETTINGS) {
    const values =
      entry.kind === 'choice'
        ? entry.choices.map((one) => `\`"${one}"\``).join(', ')
        : entry.kind === 'whole'
          ? `${entry.min} to ${entry.max}`
          : entry.kind === 'flag'
            ? '`true`, `false`'
            : 'text';
    lines.push(
      `| \`${entry.key}\` | ${cell(`\`${String(entry.preset)}\``)} | ${values} | ${(entry as Field).live ? 'yes' : ''} | ${entry.row} | ${cell(entry.why)} |`,
    );
  }
  return `${lines.join('\n')}\n`;
}

if (process.argv[1]?.endsWith('/agentd/reference.js'))
  process.stdout.write(process.argv[2] === 'settings' ? settingsPage() : statesPage());
