/** Shape of a setting, and what a text may hold. */

export interface Field {
  /** `table.name` of the configuration file. */
  readonly key: string;
  readonly row: string;
  readonly why: string;
  readonly kind: 'text' | 'flag' | 'whole' | 'choice';
  readonly preset: string | number | boolean;
  /** whole: the smallest value. */
  readonly min?: number;
  /** whole: the largest value; text: the greatest length. */
  readonly max?: number;
  readonly choices?: readonly string[];
  /** A change is obeyed at once; without it when the agent starts again. */
  readonly live?: boolean;
  /** Only the file or the command line can say it, because the agent must know it before it can read its state. */
  readonly fixed?: boolean;
  /** text: what is wrong with it as `must be ...`, or null. */
  readonly check?: (value: string) => string | null;
}

export const TEXT_LENGTH_MAX = 4_096;

/** What is wrong with a value, as `must be ...`; null when nothing is. */
export function valueProblem(entry: Field, value: unknown): string | null {
  switch (entry.kind) {
    case 'flag':
      return typeof value === 'boolean' ? null : 'must be true or false';
    case 'text': {
      const max = entry.max ?? TEXT_LENGTH_MAX;
      if (typeof value !== 'string' || value.length > max || /[\0\r\n]/.test(value))
        return `must be a text of one line, at most ${max} characters`;
      return entry.check?.(value) ?? null;
    }
    case 'choice':
      return typeof value === 'string' && entry.choices?.includes(value)
        ? null
        : `must be one of ${entry.choices?.join(', ') ?? ''}`;
    case 'whole': {
      const min = entry.min ?? 0;
      const max = entry.max ?? Number.MAX_SAFE_INTEGER;
      return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
        ? null
        : `must be a whole number from ${min} to ${max}`;
    }
  }
}

/** A value written as text, as people and consoles send it; what cannot be read stays text and is refused later. */
export function parseValue(entry: Field, text: string): string | number | boolean {
  const trimmed = text.trim();
  if (entry.kind === 'whole') return /^-?\d+$/.test(trimmed) ? Number(trimmed) : text;
  if (entry.kind === 'flag') {
    if (/^(true|on|yes)$/i.test(trimmed)) return true;
    if (/^(false|off|no)$/i.test(trimmed)) return false;
  }
  return text;
}

export interface Listen {
  readonly host: string;
  readonly port: number;
}

/** `ADDRESS:PORT`, `[IPv6]:PORT` or `:PORT` (every address); null when it is none of these. Port 0 takes any. */
export function parseListen(text: string): Listen | null {
  const match = /^(\[[0-9A-Fa-f:.%]+\]|[^:[\]]*):(\d{1,5})$/.exec(text);
  if (!match) return null;
  const port = Number(match[2]);
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
  return port <= 65_535 ? { host: host === '' ? '0.0.0.0' : host, port } : null;
}

/** `HOST`, `HOST:PORT`, `[IPv6]:PORT` or a bare IPv6 address; null when it is none of these. */
export function parseHost(text: string, port: number): Listen | null {
  const match =
    /^(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+)|([0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%]*))(?::(\d{1,5}))?$/.exec(
      text,
    );
  const host = match?.[1] ?? match?.[2] ?? match?.[3];
  if (host === undefined) return null;
  const given = match?.[4] === undefined ? port : Number(match[4]);
  return given >= 1 && given <= 65_535 ? { host, port: given } : null;
}

const OCTET = '(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)';
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

/** An address by number, IPv4 or IPv6, the latter perhaps with `%` and an interface behind it. */
export function isAddress(text: string): boolean {
  if (IPV4.test(text)) return true;
  const [address = '', zone, ...more] = text.split('%');
  if (more.length > 0 || (zone !== undefined && !/^[A-Za-z0-9._-]{1,15}$/.test(zone))) return false;
  const [head = '', tail, ...rest] = address.split('::');
  if (rest.length > 0) return false;
  const groups = [head, tail].flatMap((side) => (side ? side.split(':') : []));
  const last = groups.at(-1) ?? '';
  const embedded = IPV4.test(last) && address.endsWith(last);
  const words = groups.length + (embedded ? 1 : 0);
  const fits = tail === undefined ? words === 8 : words <= 7;
  return fits && (embedded ? groups.slice(0, -1) : groups).every((group) => /^[0-9A-Fa-f]{1,4}$/.test(group));
}

/** Items of a list written with commas or semicolons. */
export function splitList(text: string): string[] {
  return text
    .split(/[,;]/)
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
