/** Pieces of manual pages in mdoc(7). Text goes in as it is and comes out so that no character of it is a command. */

/** The release's day, as mdoc wants it. */
export const MANUAL_DATE = 'November 25, 2026';

/** Text inside a line: backslashes and quotes lose their meaning. */
export const plain = (text: string): string => text.replaceAll('\\', '\\e').replaceAll('"', '\\(dq');

/** Lines of running text, one sentence per line as mdoc wants it. */
export function prose(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line) => line.split(/(?<=[a-z)\]`»”"][.!?]) +(?=[A-Z`])/))
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => plain(line).replace(/^(?=[.'])/, '\\&'));
}

/** One argument of a macro, whatever is in it. */
export const arg = (text: string): string => `"${plain(text).replaceAll('-', '\\-')}"`;

/** A word set in bold, as what is typed exactly so. */
export const literal = (text: string): string => `\\fB${plain(text).replaceAll('-', '\\-')}\\fR`;
/** A word set in italics, as what stands for something. */
export const variable = (text: string): string => `\\fI${plain(text).replaceAll('-', '\\-')}\\fR`;

/** A list of names and what they mean; the names are marked up already. */
export function tagged(items: readonly (readonly [string, readonly string[]])[]): string[] {
  if (items.length === 0) return [];
  return ['.Bl -tag -width Ds', ...items.flatMap(([name, body]) => [`.It ${name}`, ...body]), '.El'];
}

/** Lines shown exactly as they are. */
export const example = (lines: readonly string[]): string[] => [
  '.Bd -literal -offset indent',
  ...lines.map((line) => plain(line).replace(/^(?=[.'])/, '\\&')),
  '.Ed',
];

export function manual(
  name: string,
  section: number,
  about: string,
  sections: readonly (readonly [string, readonly string[]])[],
  source: string,
): string {
  const lines = [
    `.\\" Made from ${source} by \`npm run docs\`; do not edit.`,
    `.Dd ${MANUAL_DATE}`,
    `.Dt ${name.toUpperCase()} ${section}`,
    '.Os',
    '.Sh NAME',
    `.Nm ${name}`,
    `.Nd ${about}`,
  ];
  for (const [title, body] of sections) if (body.length > 0) lines.push(`.Sh ${title}`, ...body);
  return `${lines.join('\n')}\n`;
}
