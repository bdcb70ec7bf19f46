#!/usr/bin/env node
import module from 'node:module';
import { COCKPIT_USAGE } from './options.js';

/** `understudy`: the cockpit when started bare on a terminal, the command line otherwise. */

const USAGE = `Usage: understudy [options of the cockpit]
       understudy COMMAND ...      (understudy --help lists the commands)

${COCKPIT_USAGE}`;

interface Flags {
  theme: string | null;
  ascii: boolean | null;
  colour: boolean;
  readOnly: boolean;
}

/** The cockpit's options; null when the arguments are for the command line. */
function cockpitFlags(argv: readonly string[]): Flags | string | null {
  const flags: Flags = { theme: null, ascii: null, colour: true, readOnly: false };
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i] ?? '';
    if (arg === '--ascii') flags.ascii = true;
    else if (arg === '--unicode') flags.ascii = false;
    else if (arg === '--no-color' || arg === '--no-colour') flags.colour = false;
    else if (arg === '--read-only') flags.readOnly = true;
    else if (arg.startsWith('--theme=')) flags.theme = arg.slice(8);
    else if (arg === '--theme') {
      const name = argv[++i];
      if (name === undefined) return '--theme needs the name of a theme.';
      flags.theme = name;
    } else return null;
  }
  return flags;
}

// Newer Nodes keep compiled code, which makes the second start twice as fast.
(module as { enableCompileCache?: () => unknown }).enableCompileCache?.();

async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === 'reset-terminal') {
    // For after a SIGKILL, which no program can prepare for (T13).
    const { RESTORE } = await import('./paint/restore.js');
    process.stdout.write(RESTORE);
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    return 0;
  }
  const flags = cockpitFlags(argv);
  if (flags === null) {
    const { runCli } = await import('./cli/index.js');
    return runCli(argv);
  }
  if (typeof flags === 'string') {
    process.stderr.write(`understudy: ${flags}\n${USAGE}`);
    return 2;
  }
  const { runTerminal, terminalProblem } = await import('./terminal.js');
  const problem = terminalProblem(process.env, process.stdin, process.stdout);
  if (problem !== null) {
    process.stderr.write(`understudy: ${problem}\n${USAGE}`);
    return 2;
  }
  try {
    return await runTerminal(flags);
  } catch (error) {
    process.stderr.write(`understudy: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
    // Links that are still closing must not keep a person waiting at an empty prompt.
    if (cockpitFlags(process.argv.slice(2)) !== null && process.stdout.isTTY) process.exit(code);
  },
  (error: unknown) => {
    process.stderr.write(`understudy: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = 70;
  },
);
