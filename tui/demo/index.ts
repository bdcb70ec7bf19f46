/** The `demo` command. */
import { type Command, InvalidArgumentError } from 'commander';

const SECONDS_MAX = 86_400;

function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0 || value > SECONDS_MAX)
    throw new InvalidArgumentError(`not a number of seconds up to ${SECONDS_MAX}`);
  return value;
}

/** Adds `demo` to the program. What it needs is loaded only when it runs. */
export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('two agents on this machine, a live replica between them, and the cockpit to watch it')
    .option('--headless', 'no cockpit: print progress, compare both trees at the end (the default without a terminal)')
    .option('--seconds <n>', 'end by itself after this time', seconds)
    .action(async (options: { headless?: boolean; seconds?: number }) => {
      const { demo } = await import('./demo.js');
      const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
      process.exitCode = await demo({ headless: options.headless ?? !terminal, seconds: options.seconds ?? null });
    });
}
