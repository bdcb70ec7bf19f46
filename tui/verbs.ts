/** Verbs of the command line, read from its own definition, for the palette's completion. */
import type { Command } from 'commander';
import { buildProgram } from './cli/index.js';
import type { Verb } from './model/app.js';

export function readVerbs(): Verb[] {
  const verbs: Verb[] = [];
  const walk = (command: Command, prefix: string): void => {
    for (const one of command.commands) {
      const name = prefix === '' ? one.name() : `${prefix} ${one.name()}`;
      if (one.commands.length > 0) walk(one, name);
      // `verify ID` does something itself and has commands of its own, too.
      const acts = one.commands.length === 0 || one.registeredArguments.length > 0;
      if (acts && name !== 'demo' && name !== 'help')
        verbs.push({
          name,
          args: one.registeredArguments.map((arg) => (arg.required ? `<${arg.name()}>` : `[${arg.name()}]`)).join(' '),
          why: one.description(),
        });
    }
  };
  walk(buildProgram(), '');
  return verbs.sort((a, b) => (a.name < b.name ? -1 : 1));
}
