/** Passwords for an agent: asked on the terminal or read from a file, never an argument that `ps` shows. */
import { readFileSync } from 'node:fs';
import type { Client } from '../../protocol/client.js';
import { SettingsSecret } from '../../protocol/messages/index.js';
import { usage } from './command.js';
import { terminalPrompts } from './prompts.js';

/**
 * @param from a file, `-` for standard input, or `ask`
 * @returns the first line of it
 */
export async function readSecret(what: string, from: string): Promise<string> {
  if (from === 'ask') {
    const secret = terminalPrompts()?.secret;
    if (!secret) throw usage(`There is no terminal to ask for the ${what} at; name a file, or - for standard input.`);
    const answer = await secret({ kind: 'password', host: '', user: '', attempt: 1, prompt: `${what}:`, echo: false });
    if (!answer) throw usage(`No ${what} was given.`);
    return answer;
  }
  let text: string;
  try {
    text = readFileSync(from === '-' ? 0 : from, 'utf8');
  } catch (error) {
    throw usage(`${from} cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}.`);
  }
  const [line = ''] = text.split(/\r?\n/);
  if (line === '') throw usage(`${from === '-' ? 'Standard input' : from} does not begin with the ${what}.`);
  return line;
}

export async function sendSecret(client: Client, key: string, what: string, from: string | false): Promise<void> {
  await client.request(SettingsSecret, { key, value: from === false ? null : await readSecret(what, from) });
}
