/** Mails messages (LOG-20..30). Hears every log line; nothing here makes anybody wait. */
import { failure } from '../../protocol/errors.js';
import { MAIL_TEST_LENGTH_MAX } from '../../protocol/limits.js';
import type { LogLine } from '../../protocol/messages/log.js';
import {
  type MailSettings,
  type MailText,
  mailOf,
  mailOfSuppressed,
  mailOfTest,
  mailWanted,
  recipients,
  recipientsProblem,
} from '../core/notify/mail.js';
import {
  type MailerEffect,
  type MailerFact,
  type MailerState,
  mailerStart,
  mailerStep,
} from '../core/notify/mailer.js';
import type { Settings } from '../core/settings/settings.js';
import type { LogSink } from '../ports/log-sink.js';
import type { MailResult, MailRoad, SendMail } from '../ports/mail.js';
import type { Vault } from '../ports/vault.js';
import type { SettingsStore } from './settings.js';
import type { World } from './world.js';

export class Mailer implements LogSink {
  #state: MailerState | null = null;
  #cancel: (() => void) | null = null;
  /** Mail was switched off this often: the outcome of a mail from before means nothing any more. */
  #epoch = 0;
  #closed = false;

  constructor(
    readonly world: () => World,
    readonly vault: Vault,
    readonly sendMail: SendMail,
    settings: SettingsStore,
  ) {
    settings.onChange((changed) => {
      if (![...changed].some((key) => key.startsWith('mail.')) && changed.size > 0) return;
      if (!this.#settings['mail.enabled']) {
        this.#epoch += 1;
        this.#fact({ kind: 'off' });
      } else this.#fact({ kind: 'retry_now' });
    });
  }

  get #settings(): Settings {
    return this.world().settings;
  }

  /** Messages not mailed and not told yet, and what waits. */
  get state(): { readonly failing: boolean; readonly waiting: number; readonly suppressed: number } {
    return {
      failing: this.#state?.phase === 'failing',
      waiting: this.#state?.queue.length ?? 0,
      suppressed: this.#state?.suppressed ?? 0,
    };
  }

  write(line: LogLine): void {
    if (this.#closed || !this.#settings['mail.enabled'] || !mailWanted(line, this.#mail)) return;
    this.#fact({ kind: 'message', line });
  }

  close(): void {
    // What still waits is in the log; a stop does not wait for a mail server (LOG-31).
    this.#closed = true;
    this.#cancel?.();
  }

  /** LOG-28. @throws Failure MAIL_NOT_CONFIGURED, MAIL_TEST_FAILED */
  async test(to: string | undefined, text: string | undefined): Promise<MailResult & { via: string; to: string[] }> {
    const { world } = this;
    const wrong = to === undefined ? null : recipientsProblem(to);
    if (wrong) throw failure('SETTING_INVALID', { problem: `the list of recipients ${wrong} (LOG-28)` });
    const receivers = recipients(to ?? this.#settings['mail.to']);
    if (this.#settings['mail.from'] === '') throw failure('MAIL_NOT_CONFIGURED', { missing: 'a From address' });
    if (receivers.length === 0) throw failure('MAIL_NOT_CONFIGURED', { missing: 'a recipient' });
    const words = (text ?? `Test mail of Understudy on ${this.#name}.`).slice(0, MAIL_TEST_LENGTH_MAX);
    const mail = mailOfTest(words, this.#name, world().clock.wall(), this.#mail);
    try {
      const result = await this.#send(mail, receivers);
      // What waits for a better time need not wait any more.
      if (this.#settings['mail.enabled']) this.#fact({ kind: 'retry_now' });
      return { ...result, via: this.#via, to: receivers };
    } catch (error) {
      throw failure('MAIL_TEST_FAILED', { via: this.#via, problem: (error as Error).message });
    }
  }

  get #name(): string {
    return this.#settings['agent.name'];
  }

  get #via(): string {
    return this.#settings['mail.server'] || 'the local mail command';
  }

  get #mail(): MailSettings {
    const settings = this.#settings;
    return {
      prefix: settings['mail.subject_prefix'],
      description: settings['mail.subject_description'],
      severities: {
        information: settings['mail.information'],
        warning: settings['mail.warning'],
        error: settings['mail.error'],
      },
      exclude: settings['mail.exclude'],
    };
  }

  #fact(fact: MailerFact): void {
    const { clock } = this.world();
    const perHour = this.#settings['mail.per_hour'];
    const now = clock.steady();
    this.#state ??= mailerStart(perHour, now);
    const [next, effects] = mailerStep(this.#state, fact, perHour, now, clock.random());
    this.#state = next;
    this.#cancel?.();
    this.#cancel = null;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: MailerEffect): void {
    const { clock, log } = this.world();
    switch (effect.act) {
      case 'send':
        this.#deliver(mailOf(effect.line, this.#name, this.#mail, effect.suppressed));
        return;
      case 'send_summary':
        this.#deliver(mailOfSuppressed(effect.suppressed, this.#name, this.#mail));
        return;
      case 'wait':
        if (!this.#closed) this.#cancel = clock.after(effect.ms, () => this.#fact({ kind: 'due' }));
        return;
      case 'tell_failed':
        log.say('MAIL_FAILED', { via: this.#via, problem: effect.problem });
        return;
      case 'tell_works':
        log.say('MAIL_WORKS', { via: this.#via });
        return;
      case 'tell_limited':
        log.say('MAIL_LIMITED', { perHour: this.#settings['mail.per_hour'] });
        return;
    }
  }

  #deliver(mail: MailText): void {
    const epoch = this.#epoch;
    const over = (fact: MailerFact): void => {
      if (epoch === this.#epoch && !this.#closed) this.#fact(fact);
    };
    this.#send(mail, recipients(this.#settings['mail.to'])).then(
      () => over({ kind: 'sent' }),
      (error: unknown) => over({ kind: 'failed', problem: error instanceof Error ? error.message : String(error) }),
    );
  }

  async #send(mail: MailText, to: readonly string[]): Promise<MailResult> {
    const settings = this.#settings;
    const user = settings['mail.user'];
    const road: MailRoad = {
      server: settings['mail.server'],
      tls: settings['mail.tls'],
      user,
      password: user === '' ? null : this.vault.read('mail.password'),
      timeoutMs: settings['mail.timeout_s'] * 1000,
    };
    return this.sendMail(road, { from: settings['mail.from'], to, ...mail });
  }
}
