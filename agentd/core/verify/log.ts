/** The verification log as text (VER-01, VER-12..18). English only (VER-15). Pure. */
import type { VerifyDifference, VerifyOptions } from '../../../protocol/messages/mirror.js';
import { formatWallTime, type WallTime } from '../../../protocol/units.js';

export interface VerifyRun {
  readonly set: string;
  readonly id: number;
  readonly target: string;
  readonly route: string;
  readonly options: VerifyOptions;
  /** By the schedule or by whom. */
  readonly asked: string;
}

export interface VerifyTotals {
  readonly files: number;
  readonly bytes: number;
  readonly different: number;
  readonly missing: number;
  readonly orphans: number;
  readonly resent: number;
  readonly omitted: number;
}

/** VER-12: `UserData USVerify.log`. A set's name may hold what a file name may not. */
export const verifyLogName = (set: string, base: string): string => `${set.replaceAll('/', '_')} ${base}`;

/** Names of files may hold anything; one line of the log is one line. */
const visible = (text: string): string =>
  text.replace(/[\x00-\x1f\x7f]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);

function how({ checksum, remirror, newer }: VerifyOptions): string {
  const compared = checksum ? 'attributes and contents are compared' : 'attributes are compared';
  if (!remirror) return `${compared}, nothing is sent`;
  return `${compared}, ${newer ? 'what is newer on the source' : 'what differs'} is sent`;
}

/** VER-17. */
export function beginText(run: VerifyRun, now: WallTime): string {
  return `--- Verification begins ${formatWallTime(now)}: set "${visible(run.set)}", connection ${run.id} to ${visible(run.target)} (${run.route}), asked for by ${visible(run.asked)}; ${how(run.options)}.\n`;
}

const sideText = (side: VerifyDifference['source'], name: string): string =>
  side ? `${name} ${side.bytes} bytes of ${formatWallTime(side.modified)}` : `not on the ${name}`;

/** VER-18: the state before anything is sent again. */
export function differenceText(one: VerifyDifference): string {
  const blocks = one.blocks > 0 ? `; ${one.blocksDiffer} of ${one.blocks} blocks differ` : '';
  return `${one.what} ${visible(one.path)}: ${sideText(one.source, 'source')}, ${sideText(one.target, 'target')}${blocks}\n`;
}

export function endText(totals: VerifyTotals, ms: number, now: WallTime): string {
  const { files, bytes, different, missing, orphans, resent, omitted } = totals;
  const same = different + missing + orphans === 0;
  return (
    (omitted > 0 ? `${omitted} more are not listed\n` : '') +
    `Totals: ${files} files and ${bytes} bytes compared; ${different} different, ${missing} missing on the target, ${orphans} only on the target; ${resent} sent again\n` +
    `--- Verification ends ${formatWallTime(now)} after ${Math.round(ms)} ms: ${same ? 'source and target are the same' : 'source and target differ'}.\n`
  );
}

export const brokenText = (why: string, now: WallTime): string =>
  `--- Verification ends ${formatWallTime(now)} without a result: ${visible(why)}.\n`;

/** VER-13: the last line of a full log. */
export const fullText = (lengthMax: number): string =>
  `--- This log has reached its maximum length of ${lengthMax} bytes; nothing more is logged.\n`;

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/**
 * What of `lines` still fits (VER-13).
 * @param length bytes of the log so far; a log that ends with `fullText` gets no more and is not asked about
 * @returns `full`: the text ends with the line that says so
 */
export function fitting(
  lines: readonly string[],
  length: number,
  lengthMax: number,
): { readonly text: string; readonly full: boolean } {
  const last = fullText(lengthMax);
  const room = lengthMax - bytesOf(last);
  // Written under a larger limit.
  if (length > room) return { text: '', full: true };
  let used = length;
  const taken: string[] = [];
  for (const line of lines) {
    const size = bytesOf(line);
    if (used + size > room) return { text: taken.join('') + last, full: true };
    used += size;
    taken.push(line);
  }
  return { text: taken.join(''), full: false };
}
