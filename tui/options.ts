/** Options of the cockpit, once: usage text and manual page are made from these. */
export const COCKPIT_OPTIONS: readonly (readonly [string, string])[] = [
  ['--theme NAME', 'Colours: dark, light, high-contrast, mono, or a theme of your own.'],
  ['--ascii', 'Only ASCII on the screen. By default locale and terminal decide.'],
  ['--unicode', 'Lines, bars and signs of Unicode, whatever locale and terminal say.'],
  ['--no-color', 'Bold, underlined and reversed instead of colours; so does NO_COLOR.'],
  ['--read-only', 'Nothing can be changed from here.'],
];

const wide = Math.max(...COCKPIT_OPTIONS.map(([flag]) => flag.length));

export const COCKPIT_USAGE = `Without a command the cockpit opens, which needs a terminal. Its options:
${COCKPIT_OPTIONS.map(([flag, why]) => `  ${flag.padEnd(wide)}  ${why}`).join('\n')}
`;
