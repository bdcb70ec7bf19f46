import test from 'ava';
import { EVENTS } from '../../../protocol/catalogue/events.js';
import { REQUESTS } from '../../../protocol/catalogue/requests.js';
import {
  CATALOGUE,
  type Entry,
  entryOf,
  Failure,
  failure,
  notice,
  noticeRemedy,
  noticeText,
  type Params,
} from '../../../protocol/errors.js';
import { Notice, SEVERITY } from '../../../protocol/messages/log.js';

const entries = Object.entries(CATALOGUE) as unknown as [string, Entry<Params>][];
const anything = new Proxy({}, { get: (_, name) => `<${String(name)}>` }) as Params;

test('LOG-03: every message has its own number, a severity and words', (t) => {
  t.is(entries.length, Object.keys(REQUESTS).length + Object.keys(EVENTS).length, 'no code is in both halves');
  t.is(new Set(entries.map(([, entry]) => entry.id)).size, entries.length, 'numbers are unique');
  for (const [code, entry] of entries) {
    t.regex(code, /^[A-Z][A-Z0-9_]*$/);
    t.true(SEVERITY.includes(entry.severity));
    t.is(entry.id >= 2000, code in EVENTS, `${code} is numbered in its half`);
    t.regex(entry.message(anything), /\S/, code);
    t.false(entry.message(anything).includes('undefined'), code);
  }
});

test('LOG-04: what has to be logged has a message; queue alerts and failover come with their features', (t) => {
  const rows: Record<string, readonly string[]> = {
    'orphans result': ['MIRROR_DONE', 'VERIFY_DONE', 'VERIFY_DIFFERENT'],
    'skipped long paths': ['PATH_SKIPPED'],
    'auto-disconnect, reconnect, remirror': ['STREAM_BROKEN', 'CONNECTION_RESTORED', 'AUTO_REMIRROR'],
    validation: ['VERIFY_DONE', 'VERIFY_DIFFERENT'],
    'mail failures': ['MAIL_FAILED', 'MAIL_WORKS'],
    'failed operations': ['QUARANTINED', 'RECEIVER_REPORT'],
  };
  for (const [row, codes] of Object.entries(rows)) for (const code of codes) t.true(code in EVENTS, `${row}: ${code}`);
  for (const code of ['MIRROR_DONE', 'VERIFY_DONE'] as const)
    t.regex(CATALOGUE[code].message(anything as never), /<orphans>/);
});

test('I10: what needs a person says what to do', (t) => {
  for (const [code, entry] of entries)
    if (entry.severity === 'error' || entry.retry === 'after_fix') t.regex(entry.remedy(anything), /\S/, code);
});

test('the reader formats with its own words, and falls back to the sender for what it does not know', (t) => {
  const said = notice('SET_UNKNOWN', { set: 'docs' }, { call: 'openat', errno: 'EACCES' });
  t.deepEqual(Notice.parse(said), said);
  t.is(noticeText(said), 'There is no replication set "docs". Cause: openat: EACCES.');
  const newer = { ...said, code: 'OF_THE_FUTURE', text: 'Something new.', remedy: 'Upgrade.' };
  t.is(noticeText(newer), 'Something new. Cause: openat: EACCES.');
  t.is(noticeRemedy(newer), 'Upgrade.');
  t.is(noticeText({ ...said, params: {}, text: 'Sent text.', cause: null }), 'Sent text.', 'a parameter is missing');
  t.is(entryOf('toString'), null);
});

test('callers branch on retry and exit, never on text', (t) => {
  const refused = failure('LOOP', { target: '/a', source: '/b', server: 'x' });
  t.true(refused instanceof Failure);
  t.is(refused.exit, 4);
  t.is(failure('NOT_LINKED', { id: 1, target: 'x' }).retry, 'backoff');
  t.is(new Failure({ ...refused.notice, code: 'OF_THE_FUTURE' }).exit, 1);
});
