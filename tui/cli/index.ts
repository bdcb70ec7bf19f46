/** The command line: `runCli(argv)` is called by `understudy` whenever arguments are given. */
import { Command, CommanderError } from 'commander';
import { PROTOCOL_VERSION, SOFTWARE_VERSION } from '../../protocol/version.js';
import { addDemo } from '../demo/index.js';
import { addBookmarkCommands } from './commands/bookmark.js';
import { addCheckCommands } from './commands/check.js';
import { addConfigCommands } from './commands/config.js';
import { addConnectCommands } from './commands/connect.js';
import { addEstimateCommand } from './commands/estimate.js';
import { addGrantCommands } from './commands/grant.js';
import { addHealthCommands } from './commands/health.js';
import { addLogsCommand } from './commands/logs.js';
import { addMirrorCommands } from './commands/mirror.js';
import { addNotifyCommands } from './commands/notify.js';
import { addOrphanCommands } from './commands/orphans.js';
import { addPeerCommands } from './commands/peer.js';
import { addQuarantineCommands } from './commands/quarantine.js';
import { addServerCommands } from './commands/server.js';
import { addSetCommands } from './commands/set.js';
import { addStatsCommand } from './commands/stats.js';
import { addStatusCommand } from './commands/status.js';
import { addTaskCommands } from './commands/task.js';
import { addVerifyCommands } from './commands/verify.js';
import { COCKPIT_USAGE } from '../options.js';
import { addTransmitCommands } from './commands/transmit.js';
import { asCliFailure, exitCode } from './links.js';
import { showFailure } from './print.js';

/** Exit code for a command line nobody can carry out. */
const EXIT_USAGE = 2;

export function buildProgram(): Command {
  const program = new Command('understudy')
    .description('Mirrors and replicates directories between servers. Without a command: the cockpit.')
    .version(`${SOFTWARE_VERSION} (protocol ${PROTOCOL_VERSION})`)
    .option('--json', 'print JSON')
    .option('--quiet', 'say nothing besides the result')
    .showHelpAfterError('(--help tells more)')
    .addHelpText('after', `\n${COCKPIT_USAGE}`)
    .exitOverride();
  addServerCommands(program);
  addPeerCommands(program);
  addGrantCommands(program);
  addConfigCommands(program);
  addSetCommands(program);
  addConnectCommands(program);
  addEstimateCommand(program);
  addStatusCommand(program);
  addMirrorCommands(program);
  addTransmitCommands(program);
  addCheckCommands(program);
  addVerifyCommands(program);
  addOrphanCommands(program);
  addQuarantineCommands(program);
  addTaskCommands(program);
  addBookmarkCommands(program);
  addLogsCommand(program);
  addStatsCommand(program);
  addHealthCommands(program);
  addNotifyCommands(program);
  addDemo(program);
  return program;
}

/**
 * @param argv arguments without interpreter and script
 * @returns exit code: 0 done, 1 failed, 2 usage, 3 not reachable, 4 refused by a guard, 5 conflict, 75 try again
 */
export async function runCli(argv: readonly string[]): Promise<number> {
  // `understudy logs | head` ends when its reader does.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    await buildProgram().parseAsync([...argv], { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Help and version end by exception, too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    const said = asCliFailure(error);
    showFailure(said, argv.includes('--json'));
    return exitCode(said);
  } finally {
    process.exitCode = before;
  }
}
