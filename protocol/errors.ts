/**
 * The catalogue: every error and every log message, once. Codes and numbers are permanent; wording is free to
 * improve. The wire carries code, parameters and cause; the reader formats, and falls back to the sender's text for
 * a code it does not know yet.
 */
import type { Entry, Exit, Params, Retry } from './catalogue/define.js';
import { EVENTS } from './catalogue/events.js';
import { REQUESTS } from './catalogue/requests.js';
import type { Notice } from './messages/log.js';

export type { Entry, Exit, Params, Retry } from './catalogue/define.js';

export const CATALOGUE = { ...REQUESTS, ...EVENTS } as const;
export type Code = keyof typeof CATALOGUE;
export type ParamsOf<C extends Code> = (typeof CATALOGUE)[C] extends Entry<infer P> ? P : never;

/** A refused system call as plain data. */
export interface Cause {
  readonly call: string;
  readonly errno: string;
}

/** A catalogue message with its parameters. */
export function notice<C extends Code>(code: C, params: ParamsOf<C>, cause: Cause | null = null): Notice {
  const entry = CATALOGUE[code] as unknown as Entry<Params>;
  return {
    code,
    id: entry.id,
    severity: entry.severity,
    params: { ...(params as Params) },
    cause: cause && { call: cause.call, errno: cause.errno },
    text: entry.message(params as Params),
    remedy: entry.remedy(params as Params),
  };
}

/** An expected error: a catalogue message as an exception. */
export class Failure extends Error {
  constructor(readonly notice: Notice) {
    super(notice.text);
    this.name = 'Failure';
  }

  get code(): string {
    return this.notice.code;
  }

  get retry(): Retry {
    return entryOf(this.notice.code)?.retry ?? 'never';
  }

  get exit(): Exit {
    return entryOf(this.notice.code)?.exit ?? 1;
  }
}

/** Builds the exception; the caller throws it. */
export function failure<C extends Code>(code: C, params: ParamsOf<C>, cause: Cause | null = null): Failure {
  return new Failure(notice(code, params, cause));
}

export function entryOf(code: string): Entry<Params> | null {
  return Object.hasOwn(CATALOGUE, code) ? (CATALOGUE[code as Code] as unknown as Entry<Params>) : null;
}

/** One line in the reader's own words: `message Cause: openat: EACCES.` */
export function noticeText(said: Notice): string {
  return `${worded(said, 'message') ?? said.text}${causeText(said)}`;
}

/** What to do, in the reader's own words; empty when nothing is needed. */
export function noticeRemedy(said: Notice): string {
  return worded(said, 'remedy') ?? said.remedy;
}

export function causeText(said: Notice): string {
  if (!said.cause) return '';
  return ` Cause: ${said.cause.call ? `${said.cause.call}: ` : ''}${said.cause.errno}.`;
}

/** Own wording; null when the code is not known here or a newer sender left out a parameter it needs. */
function worded(said: Notice, part: 'message' | 'remedy'): string | null {
  const entry = entryOf(said.code);
  if (!entry) return null;
  try {
    const text = entry[part](said.params);
    return text.includes('undefined') ? null : text;
  } catch {
    return null;
  }
}
