import test from 'ava';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROLES } from '../../../tui/layout/roles.js';
import { loadTheme, nearest, resolve, themeNames } from '../../../tui/theme/theme.js';
import {
  coloursOf,
  escapeHoldMs,
  localeIsUtf8,
  plainSigns,
  terminalProblem,
  withoutColour,
} from '../../../tui/terminal.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

test('T5: every shipped theme is valid in 256 and 16 colours, and 16 colours stay within the palette', (t) => {
  const files = readdirSync(join(ROOT, 'themes')).filter((name) => name !== 'theme.schema.json');
  t.deepEqual(files.map((name) => name.replace('.json', '')).sort(), ['dark', 'high-contrast', 'light', 'mono']);
  for (const name of themeNames()) {
    t.is(Object.keys(loadTheme(name, 256).looks).length, ROLES.length);
    for (const look of Object.values(loadTheme(name, 16).looks)) t.true(look.fg < 16 && look.bg < 16, name);
  }
});

test('NO_COLOR: the mono theme names no colour at all', (t) => {
  for (const look of Object.values(loadTheme('mono', 256).looks)) t.true(look.fg === -1 && look.bg === -1);
});

test('a role without a look falls back to its parent, then to text', (t) => {
  const theme = resolve(
    { name: 'x', kind: 'dark', roles: { text: { fg: 7 }, status: { fg: 3 } } as never, roles16: { text: {} } as never },
    256,
  );
  t.is(theme.looks['status.alert'].fg, 3);
  t.is(theme.looks['chart.1'].fg, 7);
});

test('the schema lists exactly the roles there are', (t) => {
  const schema = JSON.parse(readFileSync(join(ROOT, 'themes/theme.schema.json'), 'utf8')) as {
    properties: { roles: { properties: object } };
  };
  t.deepEqual(Object.keys(schema.properties.roles.properties).sort(), [...ROLES].sort());
});

test('an unknown or hostile theme name is refused with the list of themes', (t) => {
  t.throws(() => loadTheme('nope', 256), { message: /There are: dark/ });
  t.throws(() => loadTheme('../../etc/passwd', 256), { message: /is not the name of a theme/ });
});

test('colours map to the nearest of the 256', (t) => {
  t.is(nearest('#000000'), 16);
  t.is(nearest('#ffffff'), 231);
  t.is(nearest('#808080'), 244);
  t.is(nearest('#ff0000'), 196);
});

test('T4 T9: locale, escape time and colours come from the environment', (t) => {
  t.true(localeIsUtf8({ LANG: 'de_DE.UTF-8' }));
  t.false(localeIsUtf8({ LANG: 'de_DE.UTF-8', LC_ALL: 'C' }));
  t.false(localeIsUtf8({}));
  t.true(plainSigns({ LANG: 'de_DE.UTF-8', TERM: 'linux' }), 'its font has no signs');
  t.false(plainSigns({ LANG: 'de_DE.UTF-8', TERM: 'screen-256color' }));
  t.true(plainSigns({ LANG: 'C', TERM: 'xterm' }));
  t.true(withoutColour({ TERM: 'vt100' }));
  t.true(withoutColour({ TERM: 'xterm', NO_COLOR: '1' }));
  t.false(withoutColour({ TERM: 'linux', NO_COLOR: '' }));
  t.is(escapeHoldMs({}), 25);
  t.is(escapeHoldMs({ SSH_CONNECTION: 'x' }), 100);
  t.is(escapeHoldMs({ ESCDELAY: '300' }), 300);
  t.is(coloursOf({ TERM: 'linux' }), 16);
  t.is(coloursOf({ TERM: 'tmux-256color' }), 256);
  t.is(coloursOf({ TERM: 'xterm-kitty' }), 256);
});

test('a dumb terminal and a pipe are refused with a reason', (t) => {
  const tty = { isTTY: true };
  t.is(terminalProblem({ TERM: 'xterm' }, tty, tty), null);
  t.regex(terminalProblem({ TERM: 'dumb' }, tty, tty) ?? '', /dumb/);
  t.regex(terminalProblem({ TERM: 'xterm' }, {}, tty) ?? '', /needs a terminal/);
});
