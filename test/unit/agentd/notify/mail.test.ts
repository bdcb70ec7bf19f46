/** What a mail says, who gets it, and when (LOG-20..30). */
import test from 'ava';
import fc from 'fast-check';
import { CYCLIC_TABLE, type CyclicFact, type CyclicPhase, cyclicStep } from '../../../../agentd/core/notify/cyclic.js';
import {
  type MailSettings,
  mailBody,
  mailOfSuppressed,
  mailSubject,
  mailWanted,
  parseExcluded,
} from '../../../../agentd/core/notify/mail.js';
import {
  type MailerEffect,
  type MailerFact,
  type MailerState,
  mailerStart,
  mailerStep,
} from '../../../../agentd/core/notify/mailer.js';
import { notice } from '../../../../protocol/errors.js';
import {
  MAIL_AGE_MS_MAX,
  MAIL_QUEUE_MAX,
  MAIL_RETRY_MS_MAX,
  MAIL_SUBJECT_LENGTH_MAX,
} from '../../../../protocol/limits.js';
import type { LogLine, Notice } from '../../../../protocol/messages/log.js';

const settings: MailSettings = {
  prefix: 'Understudy',
  description: true,
  severities: { information: false, warning: true, error: true },
  exclude: '',
};
const at = { id: 3, set: 'docs', target: 'beta' };
const line = (said: Notice = notice('MIRROR_REQUIRED', at), sequence = 1, when = 1_000): LogLine => ({
  sequence,
  at: when,
  set: 'docs',
  connection: 3,
  server: 'beta',
  notice: said,
  count: 1,
  audit: null,
});

test('LOG-25: Subject Prefix: Server Name: Message Severity: Message ID: Message Description', (t) => {
  t.is(
    mailSubject(line(), 'alpha', settings),
    'Understudy: alpha: Error: 2218: Connection 3: the replica on beta is not complete; a mirror is required.',
  );
  t.is(mailSubject(line(), 'alpha', { ...settings, prefix: '', description: false }), 'alpha: Error: 2218');
});

test('LOG-25: a subject has at most 150 characters and one line, whatever a file is called', (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 400 }),
      fc.string({ unit: 'binary', maxLength: 100 }),
      (path, prefix) => {
        const said = notice('QUARANTINED', { ...at, path, count: 1 }, { call: 'openat', errno: 'EACCES' });
        const subject = mailSubject(line(said), 'alpha', { ...settings, prefix });
        t.true(subject.length <= MAIL_SUBJECT_LENGTH_MAX);
        t.notRegex(subject, /[\x00-\x1f\x7f]/);
        t.notRegex(subject, /[\uD800-\uDBFF]…$/);
      },
    ),
  );
});

test('LOG-26: the body is the message text, then what to do and what is known', (t) => {
  const body = mailBody(line(), 'alpha', 7);
  t.regex(body, /^Connection 3: the replica on beta is not complete; a mirror is required\.\n\nWhat to do: /);
  for (const part of [
    'Server: alpha',
    'Severity: Error',
    'Message ID: 2218',
    'Replication set: docs',
    'Suppressed: 7 messages',
  ])
    t.true(body.includes(part), part);
  t.regex(mailOfSuppressed(1, 'alpha', settings).body, /1 message was not mailed; the log of the server has it/);
});

test('LOG-27: severities and excluded IDs with ranges, commas or semicolons', (t) => {
  const wanted = (change: Partial<MailSettings>): boolean => mailWanted(line(), { ...settings, ...change });
  t.true(wanted({}));
  t.false(wanted({ severities: { information: true, warning: true, error: false } }));
  for (const exclude of ['2218', '1;2218', '2200-2218, 9', '2218-2218', '1-9999'])
    t.false(wanted({ exclude }), exclude);
  for (const exclude of ['2217', '2219-3000', '']) t.true(wanted({ exclude }), exclude);
  t.deepEqual(parseExcluded('1, 2 - 5;7'), [
    [1, 1],
    [2, 5],
    [7, 7],
  ]);
  for (const text of ['x', '5-2', '1-2-3', '-1']) t.is(parseExcluded(text), null, text);
});

test('LOG-30: messages about mail itself never cause a mail', (t) => {
  const all = { ...settings, severities: { information: true, warning: true, error: true } };
  for (const said of [
    notice('MAIL_FAILED', { via: 'x', problem: 'y' }),
    notice('MAIL_WORKS', { via: 'x' }),
    notice('MAIL_LIMITED', { perHour: 1 }),
    notice('SNMP_FAILED', { target: 'x', problem: 'y' }),
    notice('SYSLOG_FAILED', { via: 'x' }),
  ])
    t.false(mailWanted(line(said), all), said.code);
});

test('LOG-30: every row of the table, and one message per change between failure and success', (t) => {
  t.is(CYCLIC_TABLE.length, 4);
  for (const from of ['working', 'failing'] as const)
    for (const on of ['failed', 'sent'] as const)
      t.is(CYCLIC_TABLE.filter((row) => row.from.includes(from) && row.on === on).length, 1);
  fc.assert(
    fc.property(fc.array(fc.constantFrom<CyclicFact>('failed', 'sent')), (facts) => {
      let phase: CyclicPhase = 'working';
      const told: string[] = [];
      let expected: string[] = [];
      let last: CyclicFact = 'sent';
      for (const fact of facts) {
        const [next, acts] = cyclicStep(phase, fact);
        phase = next;
        told.push(...acts.filter((act) => act.startsWith('tell')));
        if (fact !== last) expected = [...expected, fact === 'failed' ? 'tell_failed' : 'tell_works'];
        last = fact;
      }
      t.deepEqual(told, expected);
    }),
  );
});

/** The machine with its clock and a mail server that answers when told. */
class Bench {
  state: MailerState;
  now = 0;
  effects: MailerEffect[] = [];

  constructor(readonly perHour = 60) {
    this.state = mailerStart(perHour, 0);
  }

  fact(fact: MailerFact): MailerEffect[] {
    const [next, effects] = mailerStep(this.state, fact, this.perHour, this.now, 0);
    this.state = next;
    this.effects.push(...effects);
    return [...effects];
  }

  message(sequence = 1): MailerEffect[] {
    return this.fact({ kind: 'message', line: line(undefined, sequence, this.now) });
  }

  acts(): string[] {
    return this.effects.map((effect) => effect.act);
  }
}

test('LOG-30: first failure told, silence, first success told, next failure told again', (t) => {
  const bench = new Bench();
  bench.message();
  for (let i = 0; i < 3; i += 1) {
    bench.fact({ kind: 'failed', problem: 'refused' });
    bench.now += MAIL_RETRY_MS_MAX;
    bench.fact({ kind: 'due' });
  }
  bench.fact({ kind: 'sent' });
  bench.message(2);
  bench.fact({ kind: 'failed', problem: 'again' });
  t.deepEqual(
    bench.effects.filter((effect) => effect.act.startsWith('tell')),
    [{ act: 'tell_failed', problem: 'refused' }, { act: 'tell_works' }, { act: 'tell_failed', problem: 'again' }],
  );
});

test('a message that could not be sent is tried again with growing waits and is not lost', (t) => {
  const bench = new Bench();
  bench.message();
  const waits: number[] = [];
  for (let i = 0; i < 8; i += 1) {
    const wait = bench.fact({ kind: 'failed', problem: 'x' }).find((effect) => effect.act === 'wait');
    if (wait?.act !== 'wait') return t.fail('no wait');
    waits.push(wait.ms);
    bench.now += wait.ms;
    t.deepEqual(
      bench.fact({ kind: 'due' }).map((effect) => effect.act),
      ['send'],
    );
  }
  t.true(waits.every((ms, i) => i === 0 || ms >= (waits[i - 1] ?? 0)));
  t.true(Math.max(...waits) <= MAIL_RETRY_MS_MAX);
  bench.fact({ kind: 'sent' });
  t.is(bench.state.queue.length, 0);
});

test('I8: a flood is limited, counted, told once, and summed up by a mail of its own', (t) => {
  const bench = new Bench(60);
  for (let i = 1; i <= 500; i += 1) {
    bench.message(i);
    if (bench.state.sending !== 'nothing') bench.fact({ kind: 'sent' });
  }
  t.is(bench.acts().filter((act) => act === 'send').length, 20);
  t.is(bench.acts().filter((act) => act === 'tell_limited').length, 1);
  t.is(bench.state.suppressed, 480);
  t.is(bench.effects.at(-1)?.act, 'wait');
  bench.now += 60_000;
  t.deepEqual(bench.fact({ kind: 'due' }), [{ act: 'send_summary', suppressed: 480 }]);
  bench.fact({ kind: 'sent' });
  t.is(bench.state.suppressed, 0);
});

test('I8: while a server is down the first messages wait, the rest is counted, and what is too old is dropped', (t) => {
  const bench = new Bench(3_600);
  bench.message(1);
  bench.fact({ kind: 'failed', problem: 'x' });
  for (let i = 2; i <= 400; i += 1) bench.message(i);
  t.is(bench.state.queue.length, MAIL_QUEUE_MAX);
  t.is(bench.state.queue[0]?.line.sequence, 1);
  t.is(bench.state.suppressed, 400 - MAIL_QUEUE_MAX);
  bench.now += MAIL_AGE_MS_MAX + 1;
  bench.fact({ kind: 'due' });
  t.is(bench.state.queue.length, 0);
  t.deepEqual(bench.effects.at(-1), { act: 'send_summary', suppressed: 400 });
});

test('LOG-20: switched off, what waits is forgotten and a late outcome changes nothing', (t) => {
  const bench = new Bench();
  bench.message(1);
  bench.fact({ kind: 'off' });
  t.deepEqual(bench.fact({ kind: 'sent' }), []);
  bench.message(2);
  t.is(bench.state.queue[0]?.line.sequence, 2);
});

test('property: whatever happens, every message is sent, waits, or is counted, and one mail is on its way at most', (t) => {
  type Doing = 'message' | 'sent' | 'failed' | 'due' | 'hour';
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom<Doing>('message', 'message', 'message', 'sent', 'failed', 'due', 'hour'), {
        maxLength: 400,
      }),
      (doings) => {
        const bench = new Bench(5);
        let messages = 0;
        let sent = 0;
        let told = 0;
        let flying: MailerEffect | null = null;
        for (const doing of doings) {
          if (doing === 'hour') bench.now += 3_600_000;
          if ((doing === 'sent' || doing === 'failed') && !flying) continue;
          const before: MailerEffect | null = flying;
          if (doing === 'sent' || doing === 'failed') flying = null;
          const effects =
            doing === 'message'
              ? bench.message(++messages)
              : doing === 'failed'
                ? bench.fact({ kind: 'failed', problem: 'x' })
                : bench.fact({ kind: doing === 'sent' ? 'sent' : 'due' });
          if (doing === 'sent' && before) {
            if (before.act === 'send') sent += 1;
            if (before.act === 'send' || before.act === 'send_summary') told += before.suppressed;
          }
          for (const effect of effects)
            if (effect.act === 'send' || effect.act === 'send_summary') {
              t.is(flying, null);
              flying = effect;
            }
          t.true(bench.state.queue.length <= MAIL_QUEUE_MAX);
          t.is(sent + told + bench.state.queue.length + bench.state.suppressed, messages);
        }
      },
    ),
  );
});
