/** Verifications of one connection: by hand and by schedule, their log and their last result (SPEC I). */
import { z } from 'zod';
import type { EngineEvent } from '../../native/index.js';
import { failure } from '../../protocol/errors.js';
import { VERIFY_PATHS_MAX } from '../../protocol/limits.js';
import {
  VERIFY_PHASE,
  type VerifyDifference,
  VerifyOptions,
  type VerifyPlan,
  VerifyResult,
  VerifySchedule,
} from '../../protocol/messages/mirror.js';
import { formatWallTime } from '../../protocol/units.js';
import {
  beginText,
  brokenText,
  differenceText,
  endText,
  fitting,
  fullText,
  verifyLogName,
} from '../core/verify/log.js';
import { restoredSchedule, type ScheduleEvent, type ScheduleState, scheduleStep } from '../core/verify/step.js';
import { OrphanRun } from './orphan-run.js';
import { causeOf, saveSoon, type World } from './world.js';

/** The clock is looked at this often at least, so that a clock that was set is noticed. */
const LOOK_MS = 60_000;
/** A scheduled one that was cut off or refused is not tried again before. */
const AGAIN_MS = 5_000;
const SCHEDULE = 'the schedule';

export const StoredSchedule = z.object({
  phase: z.enum(VERIFY_PHASE),
  schedule: VerifySchedule.nullable(),
  next: z.number().nullable(),
});

const Last = z.object({ began: z.number(), asked: z.string(), options: VerifyOptions, result: VerifyResult });
type Last = z.infer<typeof Last>;
type Done = Extract<EngineEvent, { kind: 'verify_done' }>;

export interface VerifyOwner {
  readonly world: World;
  readonly id: number;
  readonly key: string;
  readonly at: { id: number; set: string; target: string };
  readonly scope: { set: string; connection: number; server: string };
  readonly route: string;
  readonly handle: number | null;
  /** The set's rules hold wildcards (MIR-59). */
  readonly wildcards: boolean;
  /** Why none can begin now; null when one can (VER-02). */
  verifyBlocked(): Error | null;
  changed(persist: boolean): void;
}

interface Running {
  readonly began: number;
  readonly asked: string;
  readonly options: VerifyOptions;
  readonly resolve: (result: VerifyResult) => void;
  readonly reject: (error: Error) => void;
}

export class VerifyRun {
  schedule: ScheduleState;
  /** The same walk, for names that only the target has. */
  readonly orphans: OrphanRun;
  #running: Running | null = null;
  #last: Last | null;
  #cancelLook: (() => void) | null = null;
  #ended = false;
  /** Withdraws the wait after a scheduled one that came to nothing. */
  #cancelAgain: (() => void) | null = null;

  constructor(
    readonly owner: VerifyOwner,
    stored: z.infer<typeof StoredSchedule> | null | undefined,
  ) {
    this.orphans = new OrphanRun(owner);
    this.schedule = restoredSchedule(stored);
    const last = Last.safeParse(owner.world.documents.load(this.#lastFile));
    this.#last = last.success ? last.data : null;
    this.#look();
  }

  get running(): boolean {
    return this.#running !== null || this.orphans.running;
  }

  plan(): VerifyPlan {
    const { phase, schedule, next } = this.schedule;
    return { phase, schedule, next, last: this.#last, log: this.owner.world.verifyLogs.path(this.#logName) };
  }

  log(limit: number): { file: string; text: string; omitted: number; length: number } {
    const { verifyLogs } = this.owner.world;
    return { file: verifyLogs.path(this.#logName), ...verifyLogs.tail(this.#logName, limit) };
  }

  /** By a person. @throws Failure NOT_LINKED, NOT_POSSIBLE_NOW, CANCELLED, VERIFY_FAILED */
  async ask(options: VerifyOptions, by: string, signal: AbortSignal | undefined): Promise<VerifyResult> {
    if (options.newer && !options.remirror)
      throw failure('USAGE', {
        problem: 'Only what is newer is a choice of what to send: it needs remirror (VER-05).',
      });
    if (options.newer) this.owner.world.log.say('NEWER_ONLY', this.owner.at, this.owner.scope);
    const result = this.#start(options, by);
    const onAbort = (): void => {
      const { handle, world } = this.owner;
      this.failed('it was stopped by the one who asked');
      if (handle !== null) world.engine.mirrorStop(handle);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await result;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** VER-07..10. @throws Failure USAGE */
  setSchedule(schedule: VerifySchedule | null): VerifyPlan {
    const { log, clock } = this.owner.world;
    if (schedule?.options.newer && !schedule.options.remirror)
      throw failure('USAGE', {
        problem: 'Only what is newer is a choice of what to send: it needs remirror (VER-05).',
      });
    if (schedule && schedule.everyMs === null && schedule.start <= clock.wall())
      throw failure('USAGE', { problem: 'The start lies in the past and there is no interval: it would never run.' });
    this.#step(schedule ? { kind: 'saved', schedule } : { kind: 'cleared' });
    if (this.schedule.next !== null)
      log.say('VERIFY_SCHEDULED', { ...this.owner.at, next: formatWallTime(this.schedule.next) }, this.owner.scope);
    else log.say('VERIFY_UNSCHEDULED', this.owner.at, this.owner.scope);
    return this.plan();
  }

  /** Something changed: what is due may be possible now. */
  poke(): void {
    if (this.#ended || this.running || this.#cancelAgain || this.schedule.phase !== 'due') return;
    if (this.owner.verifyBlocked() === null) this.#step({ kind: 'possible' });
  }

  event(event: Extract<EngineEvent, { kind: 'verify_done' | 'verify_stopped' | 'orphans_done' }>): void {
    if (event.kind === 'orphans_done') this.orphans.done(event);
    else if (event.kind === 'verify_stopped') this.failed(event.why);
    else this.#done(event);
  }

  failed(why: string): void {
    this.orphans.failed(why);
    const running = this.#running;
    if (!running) return;
    this.#running = null;
    this.#write([brokenText(why, this.owner.world.clock.wall())]);
    running.reject(failure('VERIFY_FAILED', { id: this.owner.id, why }));
  }

  /** The connection ends, or the agent stops. */
  end(why: string): void {
    this.#ended = true;
    this.#cancelLook?.();
    this.#cancelLook = null;
    this.#cancelAgain?.();
    this.#cancelAgain = null;
    this.failed(why);
  }

  #start(options: VerifyOptions, asked: string): Promise<VerifyResult> {
    const { owner } = this;
    const blocked = owner.verifyBlocked();
    if (blocked) return Promise.reject(blocked);
    const { handle } = owner;
    if (this.running || handle === null)
      return Promise.reject(
        failure('NOT_POSSIBLE_NOW', { action: 'Verification', id: owner.id, state: 'verifying already' }),
      );
    const began = owner.world.clock.wall();
    return new Promise((resolve, reject) => {
      this.#running = { began, asked, options, resolve, reject };
      if (!owner.world.settings['verify.append']) this.#clear();
      const { set, target } = owner.at;
      this.#write([beginText({ set, target, id: owner.id, route: owner.route, options, asked }, began)]);
      try {
        owner.world.engine.verify(handle, options);
      } catch (error) {
        this.#running = null;
        reject(error as Error);
      }
      owner.changed(false);
    });
  }

  #done(event: Done): void {
    const running = this.#running;
    if (!running) return;
    this.#running = null;
    const { owner } = this;
    const { world } = owner;
    const { files, bytes, different, missing, orphans, resent, paths, details, omitted } = event;
    const ms = Math.round(event.ms);
    const differences = paths.map((path, at) => readDifference(path, details[at] ?? ''));
    const totals = { files, bytes, different, missing, orphans, resent };
    this.#write([...differences.map(differenceText), endText({ ...totals, omitted }, ms, world.clock.wall())]);
    const code = different + missing + orphans === 0 ? 'VERIFY_DONE' : 'VERIFY_DIFFERENT';
    world.log.say(code, { ...owner.at, files, different, missing, orphans, ms }, owner.scope);
    const result: VerifyResult = {
      ...totals,
      paths: paths.slice(0, VERIFY_PATHS_MAX),
      differences: differences.slice(0, VERIFY_PATHS_MAX),
      omitted: omitted + Math.max(0, paths.length - VERIFY_PATHS_MAX),
      ms,
    };
    this.#last = { began: running.began, asked: running.asked, options: running.options, result };
    saveSoon(world, this.#lastFile, this.#last);
    running.resolve(result);
    owner.changed(false);
  }

  #step(event: ScheduleEvent): void {
    const { owner } = this;
    const [next, acts] = scheduleStep(this.schedule, event, owner.world.clock.wall());
    this.schedule = next;
    for (const act of acts) {
      switch (act) {
        case 'arm':
          this.#look();
          break;
        case 'disarm':
          this.#cancelLook?.();
          this.#cancelLook = null;
          break;
        case 'tell_due':
          owner.world.log.say('VERIFY_DUE', owner.at, owner.scope);
          break;
        case 'tell_interrupted':
          owner.world.log.say('VERIFY_INTERRUPTED', owner.at, owner.scope);
          break;
        case 'verify':
          this.#scheduled();
          break;
      }
    }
    if (acts.length > 0) owner.changed(true);
  }

  #scheduled(): void {
    const options = this.schedule.schedule?.options;
    if (!options) return;
    this.#start(options, SCHEDULE).then(
      () => this.#step({ kind: 'ended' }),
      () => {
        if (this.#ended) return;
        this.#cancelAgain = this.owner.world.clock.after(AGAIN_MS, () => {
          this.#cancelAgain = null;
          this.poke();
        });
        this.#step({ kind: 'interrupted' });
      },
    );
  }

  #look(): void {
    this.#cancelLook?.();
    this.#cancelLook = null;
    const { clock } = this.owner.world;
    const { next, phase } = this.schedule;
    if (this.#ended || next === null || phase !== 'waiting') return;
    this.#cancelLook = clock.after(Math.max(1, Math.min(LOOK_MS, next - clock.wall())), () => {
      this.#step({ kind: 'tick' });
      this.#look();
      this.poke();
    });
  }

  get #lastFile(): string {
    return `connections/${this.owner.key}/verify.sts`;
  }

  get #logName(): string {
    return verifyLogName(this.owner.at.set, this.owner.world.settings['verify.file']);
  }

  #clear(): void {
    try {
      this.owner.world.verifyLogs.clear(this.#logName);
    } catch (error) {
      this.#troubled(error);
    }
  }

  /** VER-13: up to the maximum length and not one line more; the log and the alert log say so. */
  #write(lines: readonly string[]): void {
    const { world } = this.owner;
    const { verifyLogs, settings } = world;
    const lengthMax = settings['verify.length'];
    const name = this.#logName;
    try {
      const already = verifyLogs.endsWith(name, fullText(lengthMax));
      const { text, full } = already ? { text: '', full: true } : fitting(lines, verifyLogs.length(name), lengthMax);
      if (text !== '') verifyLogs.append(name, text);
      if (full) world.log.say('VERIFY_LOG_FULL', { file: verifyLogs.path(name), lengthMax }, this.owner.scope);
    } catch (error) {
      this.#troubled(error);
    }
  }

  #troubled(error: unknown): void {
    const { log, verifyLogs } = this.owner.world;
    log.say('VERIFY_LOG_NOT_WRITTEN', { file: verifyLogs.path(this.#logName) }, this.owner.scope, causeOf(error));
  }
}

/** `what path` and the numbers beside it, as the engine says them. */
function readDifference(path: string, detail: string): VerifyDifference {
  const [bytes = -1, modified = 0, theirs = -1, theirTime = 0, blocksDiffer = 0, blocks = 0] = detail
    .split(' ')
    .map(Number);
  const at = path.indexOf(' ');
  const what = path.slice(0, at);
  return {
    what: what === 'missing' || what === 'orphan' ? what : 'different',
    path: path.slice(at + 1),
    source: bytes < 0 ? null : { bytes, modified },
    target: theirs < 0 ? null : { bytes: theirs, modified: theirTime },
    blocksDiffer,
    blocks,
  };
}
