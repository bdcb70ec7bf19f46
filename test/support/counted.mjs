/** Runs test programs, shows their cases one a line, and adds up what they say. For bootstrap.mjs: no dependencies. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import readline from 'node:readline';

export const print = (line) => process.stdout.write(`${line}\n`);

/** Runs a test program, hands its lines to `count` and resolves to what that counted. */
export function counted(command, args, options, count, tell = print) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
    readline.createInterface({ input: child.stdout }).on('line', (line) => count(line, sum, tell));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if ((code !== 0 || signal) && sum.failed === 0) {
        tell(`${path.basename(command)} ${args.join(' ')}: ended with ${signal ?? `status ${code}`}`);
        sum.failed = 1;
      }
      resolve(sum);
    });
  });
}

/** The engine's tests print `ok NAME`, `skipped NAME: why`, and `FAILED: PROGRAMS` at the end. */
export function countNative(line, sum, tell) {
  const [, word, rest = ''] = /^(ok|skipped|FAILED:) ?(.*)/.exec(line) ?? [];
  if (word === 'ok') sum.passed += 1;
  else if (word === 'skipped') sum.skipped += 1;
  else if (word) sum.failed += rest.split(' ').filter(Boolean).length;
  else if (/^(==|all passed)/.test(line)) return;
  tell(`  ${(word ?? '').replace(':', '').padEnd(7)} ${word ? rest : line}`);
}

export function countTap(line, sum, tell) {
  const found = /^(not )?ok \d+ - (.*?)( # (SKIP|TODO).*)?$/.exec(line);
  if (!found) {
    // The plan and the totals are ours to say; everything else explains a failure.
    if (!/^(TAP version|\d+\.\.\d+|# (tests|pass|fail|skip)|\s*$)/.test(line)) tell(line);
    return;
  }
  if (found[3]) sum.skipped += 1;
  else if (found[1]) sum.failed += 1;
  else sum.passed += 1;
  const word = found[3] ? 'skipped' : found[1] ? 'FAILED ' : 'ok     ';
  tell(`  ${word} ${found[2]}`);
}

export class Total {
  passed = 0;
  failed = 0;
  skipped = 0;

  /** Adds what `part` counts, and tells how long it took. */
  async add(name, part) {
    const started = Date.now();
    const sum = await part();
    for (const key of ['passed', 'failed', 'skipped']) this[key] += sum[key];
    process.stderr.write(`understudy: ${name}: ${((Date.now() - started) / 1000).toFixed(0)} s\n`);
  }

  /** The last line, and the exit status. */
  closing() {
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : '';
    print(`${this.passed} passed, ${this.failed} failed${skipped}`);
    return this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}
