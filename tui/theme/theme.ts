/** Themes: data files that say how each role looks; resolved to what a terminal cell can hold. */
import { readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { ROLES, type Role } from '../layout/roles.js';

const Colour = z.union([z.string().regex(/^#[0-9a-f]{6}$/, 'must be #rrggbb'), z.number().int().min(0).max(255)]);
const Look = z.strictObject({
  fg: Colour.optional(),
  bg: Colour.optional(),
  bold: z.boolean().optional(),
  underline: z.boolean().optional(),
  inverse: z.boolean().optional(),
});
const Roles = z.strictObject(
  Object.fromEntries(ROLES.map((role) => [role, Look.optional()])) as Record<Role, z.ZodOptional<typeof Look>>,
);
const ThemeFile = z.strictObject({
  $schema: z.string().optional(),
  name: z.string().regex(/^[a-z][a-z0-9-]*$/),
  kind: z.enum(['dark', 'light', 'mono']),
  about: z.string().optional(),
  roles: Roles,
  roles16: Roles,
});

export type ThemeFile = z.infer<typeof ThemeFile>;

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

/** @throws Error that says what is wrong with which file. */
export function loadTheme(name: string, colours: 16 | 256): Theme {
  if (!/^[a-z][a-z0-9-]*$/.test(name))
    throw new Error(`"${name}" is not the name of a theme. There are: ${themeNames().join(', ')}.`);
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
    const parsed = ThemeFile.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new Error(`${place}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}.`);
    }
    return resolve(parsed.data, colours);
  }
  throw new Error(`There is no theme "${name}". There are: ${themeNames().join(', ')}.`);
}

/** Fills in every role from itself, its parents (`status.alert`, `status`) and `text`. */
export function resolve(file: ThemeFile, colours: 16 | 256): Theme {
  const source = colours === 16 ? file.roles16 : file.roles;
  const looks = {} as Record<Role, Look>;
  for (const role of ROLES) {
    const chain: (z.infer<typeof Look> | undefined)[] = [source[role]];
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
