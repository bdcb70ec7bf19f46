/** What waits to be mailed, when the next one goes, and what is only counted. Pure; drivers/mailer.ts performs it. */
import { MAIL_AGE_MS_MAX, MAIL_QUEUE_MAX, MAIL_RETRY_MS_MAX, MAIL_RETRY_MS_MIN } from '../../../protocol/limits.js';
import type { LogLine } from '../../../protocol/messages/log.js';
import { backoffMs } from '../backoff.js';
import { type CyclicPhase, cyclicStep } from './cyclic.js';

const RETRY = { minMs: MAIL_RETRY_MS_MIN, maxMs: MAIL_RETRY_MS_MAX };
const HOUR_MS = 3_600_000;
/** Mails that may go at once; after them one per share of the hour. */
const BURST_MAX = 20;

interface Queued {
  readonly line: LogLine;
  readonly since: number;
}

/** Moments are by a clock that nobody sets. */
export interface MailerState {
  readonly phase: CyclicPhase;
  /** A mail is on its way. */
  readonly sending: 'nothing' | 'line' | 'summary';
  /** Oldest first; the first one stays until it was sent. */
  readonly queue: readonly Queued[];
  readonly failures: number;
  /** Messages not mailed and not told yet. */
  readonly suppressed: number;
  /** Of these, told by the mail on its way. */
  readonly telling: number;
  /** The limit was told since it was last reached. */
  readonly limited: boolean;
  /** Mails that may go now. */
  readonly tokens: number;
  readonly tokensAt: number;
  /** No try before this. */
  readonly notBefore: number;
}

export type MailerFact =
  | { readonly kind: 'message'; readonly line: LogLine }
  | { readonly kind: 'sent' }
  | { readonly kind: 'failed'; readonly problem: string }
  /** The wait is over, or settings changed. */
  | { readonly kind: 'due' }
  | { readonly kind: 'retry_now' }
  /** Mail was switched off: what waits is forgotten (LOG-20). */
  | { readonly kind: 'off' };

export type MailerEffect =
  | { readonly act: 'send'; readonly line: LogLine; readonly suppressed: number }
  | { readonly act: 'send_summary'; readonly suppressed: number }
  | { readonly act: 'wait'; readonly ms: number }
  | { readonly act: 'tell_failed'; readonly problem: string }
  | { readonly act: 'tell_works' }
  | { readonly act: 'tell_limited' };

const burst = (perHour: number): number => Math.min(BURST_MAX, perHour);

export function mailerStart(perHour: number, now: number): MailerState {
  return {
    phase: 'working',
    sending: 'nothing',
    queue: [],
    failures: 0,
    suppressed: 0,
    telling: 0,
    limited: false,
    tokens: burst(perHour),
    tokensAt: now,
    notBefore: 0,
  };
}

export function mailerStep(
  before: MailerState,
  fact: MailerFact,
  perHour: number,
  now: number,
  random: number,
): readonly [MailerState, readonly MailerEffect[]] {
  const state = refill(before, perHour, now);
  switch (fact.kind) {
    case 'message':
      return take(state, fact.line, perHour, now);
    case 'off':
      return [{ ...mailerStart(perHour, now), tokens: state.tokens }, []];
    case 'due':
      return next(state, [], perHour, now);
    case 'retry_now':
      return next({ ...state, notBefore: 0 }, [], perHour, now);
    case 'sent':
    case 'failed':
      return outcome(state, fact, perHour, now, random);
  }
}

function refill(state: MailerState, perHour: number, now: number): MailerState {
  const tokens = Math.min(burst(perHour), state.tokens + ((now - state.tokensAt) * perHour) / HOUR_MS);
  return { ...state, tokens, tokensAt: now };
}

function take(
  state: MailerState,
  line: LogLine,
  perHour: number,
  now: number,
): readonly [MailerState, readonly MailerEffect[]] {
  // While nothing fails, what cannot go now would only make later mails late. After failures the first ones tell the cause.
  const room =
    state.phase === 'failing'
      ? state.queue.length < MAIL_QUEUE_MAX
      : state.queue.length < Math.min(MAIL_QUEUE_MAX, Math.floor(state.tokens) + (state.sending === 'line' ? 1 : 0));
  if (room) return next({ ...state, queue: [...state.queue, { line, since: now }] }, [], perHour, now);
  const told: readonly MailerEffect[] = state.limited || state.phase === 'failing' ? [] : [{ act: 'tell_limited' }];
  const limited = state.limited || told.length > 0;
  return next({ ...state, suppressed: state.suppressed + 1, limited }, told, perHour, now);
}

function outcome(
  state: MailerState,
  fact: { readonly kind: 'sent' } | { readonly kind: 'failed'; readonly problem: string },
  perHour: number,
  now: number,
  random: number,
): readonly [MailerState, readonly MailerEffect[]] {
  // Switched off and on again while it was on its way: it is nobody's any more.
  if (state.sending === 'nothing') return [state, []];
  const [phase, acts] = cyclicStep(state.phase, fact.kind);
  const effects: MailerEffect[] = [];
  let after: MailerState = { ...state, phase, sending: 'nothing', telling: 0 };
  for (const act of acts) {
    if (act === 'tell_failed' && fact.kind === 'failed') effects.push({ act, problem: fact.problem });
    else if (act === 'tell_works') effects.push({ act });
    else if (act === 'retry_later') {
      const failures = state.failures + 1;
      after = { ...after, failures, notBefore: now + backoffMs(RETRY, failures, random) };
    } else if (act === 'go_on') {
      const suppressed = Math.max(0, state.suppressed - state.telling);
      after = {
        ...after,
        failures: 0,
        notBefore: 0,
        suppressed,
        limited: state.limited && suppressed > 0,
        queue: state.sending === 'line' ? state.queue.slice(1) : state.queue,
      };
    }
  }
  return next(after, effects, perHour, now);
}

/** Sends the next one, or says when to ask again. */
function next(
  state: MailerState,
  effects: readonly MailerEffect[],
  perHour: number,
  now: number,
): readonly [MailerState, readonly MailerEffect[]] {
  if (state.sending !== 'nothing') return [state, effects];
  const fresh = state.queue.filter(({ since }) => now - since <= MAIL_AGE_MS_MAX);
  const kept: MailerState = {
    ...state,
    queue: fresh,
    suppressed: state.suppressed + state.queue.length - fresh.length,
  };
  const line = kept.queue[0]?.line;
  if (!line && kept.suppressed === 0) return [kept, effects];
  if (now < kept.notBefore) return [kept, [...effects, { act: 'wait', ms: kept.notBefore - now }]];
  if (kept.tokens < 1)
    return [kept, [...effects, { act: 'wait', ms: Math.ceil(((1 - kept.tokens) * HOUR_MS) / perHour) }]];
  const going: MailerState = {
    ...kept,
    sending: line ? 'line' : 'summary',
    telling: kept.suppressed,
    tokens: kept.tokens - 1,
  };
  const suppressed = kept.suppressed;
  return [going, [...effects, line ? { act: 'send', line, suppressed } : { act: 'send_summary', suppressed }]];
}
