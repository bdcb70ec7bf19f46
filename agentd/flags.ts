/** The command line of the agent; the manual page is made from it. */
import { Command, InvalidArgumentError } from 'commander';
import { SOFTWARE_VERSION } from '../protocol/version.js';
import { parseListen } from './core/settings/settings.js';

export interface Flags {
  config?: string;
  state?: string;
  socket?: string;
  listen?: string;
  name?: string;
}

export function daemonCommand(): Command {
  const listen = (text: string): string => {
    if (text !== '' && !parseListen(text))
      throw new InvalidArgumentError('It must be ADDRESS:PORT, or empty for a server that is never a target.');
    return text;
  };
  return new Command('understudyd')
    .description('Agent of this server: source, target or both.')
    .version(SOFTWARE_VERSION)
    .option('--config <file>', 'configuration file (default /etc/understudy/understudy.toml)')
    .option('--state <directory>', 'folder of the state files')
    .option('--socket <path>', 'control socket')
    .option('--listen <address:port>', 'where data links are accepted', listen)
    .option('--name <name>', 'name of this server')
    .allowExcessArguments(false);
}
