/** Themes: data files that say how each role looks; resolved to what a terminal cell can hold. */
import { readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROLES, type Role } from '../layout/roles.js';

type Colour = string | number;

/** A look as written; what it leaves out comes from the role above it. */
interface Draft {
  readonly fg?: Colour;
  readonly bg?: Colour;
  readonly bold?: boolean;
  readonly underline?: boolean;
  readonly inverse?: boolean;
}

export interface ThemeFile {
  readonly name: string;
  readonly kind: 'dark' | 'light' | 'mono';
  readonly roles: Readonly<Partial<Record<Role, Draft>>>;
  readonly roles16: Readonly<Partial<Record<Role, Draft>>>;
}

/** A resolved look: palette numbers, -1 = the terminal's own. */
export interface Look {
  readonly fg: number;
  readonly bg: number;
  readonly bold: boolean;
  readonly underline: boolean;
  readonly inverse: boolean;
}

export interface Theme {
  readonly name: string;
  readonly kind: ThemeFile['kind'];
  readonly looks: Readonly<Record<Role, Look>>;
}

/** `dist/tui/theme/theme.js` and the source tree both lie beside `themes/`, at different depths. */
function shippedFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let i = 0; i < 5; i++) {
    try {
      readFileSync(join(folder, 'themes', 'dark.json'));
      return join(folder, 'themes');
    } catch {
      folder = dirname(folder);
    }
  }
  throw new Error('The folder "themes" is missing from this installation.');
}

export function ownThemesFolder(): string {
  const base =
    process.env['UNDERSTUDY_CONFIG_DIR'] ||
    join(process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'understudy');
  return join(base, 'themes');
}

/** Names of all themes, shipped ones first. A person's own file of the same name wins when it is loaded. */
export function themeNames(): string[] {
  const order = ['dark', 'light', 'high-contrast', 'mono'];
  const names = new Set(order);
  for (const folder of [shippedFolder(), ownThemesFolder()]) {
    try {
      for (const file of readdirSync(folder))
        if (file.endsWith('.json') && file !== 'theme.schema.json') names.add(basename(file, '.json'));
    } catch {
      // No folder of their own: most people.
    }
  }
  return [...names];
}

const NAME = /^[a-z][a-z0-9-]*$/;
const KINDS: readonly unknown[] = ['dark', 'light', 'mono'];
const KEYS = ['$schema', 'name', 'kind', 'about', 'roles', 'roles16'];
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * What is wrong with a theme file, `where: what`; null when nothing is. Checked by hand: the first frame waits for
 * this, and a validator takes as long to load as everything else. `themes/theme.schema.json` says the same to editors.
 */
export function themeProblem(value: unknown): string | null {
  if (!isObject(value)) return 'it must be an object';
  const strange = Object.keys(value).find((key) => !KEYS.includes(key));
  if (strange !== undefined) return `${strange}: there is no such key`;
  if (typeof value['name'] !== 'string' || !NAME.test(value['name']))
    return 'name: must be lower-case letters, digits and dashes';
  if (!KINDS.includes(value['kind'])) return 'kind: must be dark, light or mono';
  for (const key of ['$schema', 'about'])
    if (value[key] !== undefined && typeof value[key] !== 'string') return `${key}: must be text`;
  for (const key of ['roles', 'roles16']) {
    const roles = value[key];
    if (!isObject(roles)) return `${key}: must be an object`;
    for (const [role, look] of Object.entries(roles)) {
      if (!(ROLES as readonly string[]).includes(role)) return `${key}.${role}: there is no such role`;
      const problem = lookProblem(look);
      if (problem !== null) return `${key}.${role}${problem}`;
    }
  }
  return null;
}

function lookProblem(look: unknown): string | null {
  if (!isObject(look)) return ': must be an object';
  for (const [key, value] of Object.entries(look)) {
    if (key === 'fg' || key === 'bg') {
      const palette = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255;
      if (!palette && !(typeof value === 'string' && /^#[0-9a-f]{6}$/.test(value)))
        return `.${key}: must be #rrggbb or a number from 0 to 255`;
    } else if (key === 'bold' || key === 'underline' || key === 'inverse') {
      if (typeof value !== 'boolean') return `.${key}: must be true or false`;
    } else return `.${key}: there is no such key`;
  }
  return null;
}

/** @throws Error that says what is wrong with which file. */
export function loadTheme(name: string, colours: 16 | 256): Theme {
  if (!NAME.test(name)) throw new Error(`"${name}" is not the name of a theme. There are: ${themeNames().join(', ')}.`);
  const places = [join(ownThemesFolder(), `${name}.json`), join(shippedFolder(), `${name}.json`)];
  for (const place of places) {
    let text: string;
    try {
      text = readFileSync(place, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new Error(`${place} is not JSON: ${error instanceof Error ? error.message : String(error)}.`);
    }
    const problem = themeProblem(value);
    if (problem !== null) throw new Error(`${place}: ${problem}.`);
    return resolve(value as ThemeFile, colours);
  }
  throw new Error(`There is no theme "${name}". There are: ${themeNames().join(', ')}.`);
}

/** Fills in every role from itself, its parents (`status.alert`, `status`) and `text`. */
export function resolve(file: ThemeFile, colours: 16 | 256): Theme {
  const source = colours === 16 ? file.roles16 : file.roles;
  const looks = {} as Record<Role, Look>;
  for (const role of ROLES) {
    const chain: (Draft | undefined)[] = [source[role]];
    for (let at = role.lastIndexOf('.'); at > 0; at = role.lastIndexOf('.', at - 1))
      chain.push(source[role.slice(0, at) as Role]);
    chain.push(source.text);
    const found = chain.find((look) => look !== undefined) ?? {};
    const base = source.text ?? {};
    looks[role] = {
      fg: number(found.fg ?? base.fg),
      bg: number(found.bg ?? base.bg),
      bold: found.bold ?? false,
      underline: found.underline ?? false,
      inverse: found.inverse ?? false,
    };
  }
  return { name: file.name, kind: file.kind, looks };
}

function number(colour: string | number | undefined): number {
  if (colour === undefined) return -1;
  return typeof colour === 'number' ? colour : nearest(colour);
}

const STEPS = [0, 95, 135, 175, 215, 255];

/** Nearest of the 6x6x6 cube and the grey ramp; the first 16 belong to the person's own palette. */
export function nearest(hex: string): number {
  const rgb = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  const [r = 0, g = 0, b = 0] = rgb;
  const step = (value: number): number =>
    STEPS.reduce(
      (best, one, index) => (Math.abs(one - value) < Math.abs((STEPS[best] ?? 0) - value) ? index : best),
      0,
    );
  const [cr, cg, cb] = [step(r), step(g), step(b)];
  const grey = Math.max(0, Math.min(23, Math.round(((r + g + b) / 3 - 8) / 10)));
  const level = 8 + grey * 10;
  const far = (x: number, y: number, z: number): number => (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2;
  const cube = far(STEPS[cr] ?? 0, STEPS[cg] ?? 0, STEPS[cb] ?? 0);
  return cube <= far(level, level, level) ? 16 + 36 * cr + 6 * cg + cb : 232 + grey;
}
