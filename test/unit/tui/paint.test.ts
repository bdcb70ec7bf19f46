import test from 'ava';
import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Grid, run, type Scene } from '../../../tui/layout/grid.js';
import { RESTORE } from '../../../tui/paint/restore.js';
import { Screen } from '../../../tui/paint/screen.js';
import { loadTheme } from '../../../tui/theme/theme.js';

const HERE = dirname(fileURLToPath(import.meta.url));

class Slow extends EventEmitter {
  readonly columns = 20;
  readonly rows = 3;
  readonly written: string[] = [];
  full = false;

  write(text: string): boolean {
    this.written.push(text);
    return !this.full;
  }
}

const scene = (text: string): Scene => {
  const grid = new Grid(20, 3, false);
  grid.put(0, 0, [run(text)]);
  return { grid, cursor: null, charts: [] };
};

test('a frame is one write inside a synchronised update; an equal frame is none', (t) => {
  const output = new Slow();
  const screen = new Screen({ output, theme: loadTheme('dark', 256), ascii: false, mouse: false });
  t.teardown(() => screen.close());
  screen.draw(scene('12345'));
  const before = output.written.length;
  screen.draw(scene('67890'));
  t.is(output.written.length, before + 1);
  t.regex(output.written.at(-1) ?? '', /^\u001b\[\?2026h[\s\S]*67890[\s\S]*\u001b\[\?2026l$/);
  screen.draw(scene('67890'));
  t.is(output.written.length, before + 1);
});

test('T7: a terminal that does not keep up gets the newest picture, not all of them', async (t) => {
  const output = new Slow();
  const screen = new Screen({ output, theme: loadTheme('dark', 256), ascii: false, mouse: false });
  t.teardown(() => screen.close());
  screen.draw(scene('start'));
  output.full = true;
  screen.draw(scene('one'));
  const before = output.written.length;
  for (let i = 0; i < 50; i++) screen.request(() => scene(`frame ${i}`));
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.is(output.written.length, before);
  output.full = false;
  output.emit('drain');
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.is(output.written.length, before + 1);
  t.regex(output.written.at(-1) ?? '', /frame/);
  t.regex(output.written.at(-1) ?? '', /49/);
});

test('wide characters keep the columns behind them when they change', (t) => {
  const output = new Slow();
  const screen = new Screen({ output, theme: loadTheme('dark', 256), ascii: false, mouse: false });
  t.teardown(() => screen.close());
  screen.draw(scene('文件x'));
  screen.draw(scene('字件x'));
  // Only the first character differs; the cursor must not be one off for what follows.
  t.regex(output.written.at(-1) ?? '', /字/);
  t.notRegex(output.written.at(-1) ?? '', /x/);
});

for (const [what, code] of [
  ['setTimeout(() => { throw new Error("boom"); }, 10)', 'boom'],
  ['Promise.reject(new Error("bang"))', 'bang'],
] as const) {
  test(`T13: after a crash (${code}) the terminal is restored, the reason is told, and the exit code is 70`, (t) => {
    const restore = pathToFileURL(join(HERE, '../../../tui/paint/restore.js')).href;
    const script = `import { guard } from ${JSON.stringify(restore)};
      guard({ fd: 1, setRawMode: () => {}, explain: (error) => 'said: ' + error.message, onContinue: () => {} });
      ${what}; setTimeout(() => {}, 5000);`;
    const ended = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    t.is(ended.status, 70);
    t.is(ended.stdout, RESTORE);
    t.is(ended.stderr, `said: ${code}\n`);
  });
}
