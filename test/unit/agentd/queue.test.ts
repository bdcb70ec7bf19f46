/** When the use of a queue is told, and what is wrong with its place. */
import test from 'ava';
import fc from 'fast-check';
import {
  type AlertState,
  alertStep,
  limitsProblem,
  placeProblem,
  usePercent,
} from '../../../agentd/core/queue/alert.js';
import { readSettings } from '../../../agentd/core/settings/settings.js';

const MB = 1_048_576;
const volume = (device: number, megabytes: number): { device: number; totalBytes: number } => ({
  device,
  totalBytes: megabytes * MB,
});

test('QUE-10: an alert for each crossing, and none while it sways around the threshold', (t) => {
  let state: AlertState = 'calm';
  const told: string[] = [];
  for (const held of [0, 49, 50, 55, 48, 51, 41, 50, 39, 20, 50, 100]) {
    const [next, act] = alertStep(state, { held, capacity: 100 }, 50);
    state = next;
    if (act) told.push(`${act} ${held}`);
  }
  t.deepEqual(told, ['alert 50', 'calm 39', 'alert 50']);
});

test('QUE-10: off, empty or of unknown size, nothing is told', (t) => {
  t.deepEqual(alertStep('calm', { held: 100, capacity: 100 }, 0), ['calm', null]);
  t.deepEqual(alertStep('alerted', { held: 100, capacity: 100 }, 0), ['calm', null]);
  t.deepEqual(alertStep('calm', { held: 0, capacity: 0 }, 50), ['calm', null]);
  t.is(usePercent({ held: 5, capacity: 0 }), 0);
});

test('QUE-10: alert and calm alternate, whatever the queue does', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000)), fc.integer({ min: 1, max: 100 }), (levels, percent) => {
      let state: AlertState = 'calm';
      let last = 'calm';
      for (const held of levels) {
        const [next, act] = alertStep(state, { held, capacity: 1000 }, percent);
        state = next;
        if (!act) continue;
        if (act === last) return false;
        last = act;
      }
      return true;
    }),
  );
  t.pass();
});

test('QUE-03: the same volume as replicated data is told before the root volume', (t) => {
  const roots = [
    { path: '/srv', volume: volume(7, 900) },
    { path: '/home', volume: volume(8, 900) },
  ];
  t.is(placeProblem(volume(8, 900), volume(1, 900), roots), 'it is on the same volume as the replicated /home');
  t.is(placeProblem(volume(1, 900), volume(1, 900), roots), 'it is on the root volume');
  t.is(placeProblem(volume(2, 900), volume(1, 900), roots), null);
});

test('QUE-07: minimum free space must be less than disk size minus maximum queue', (t) => {
  t.is(limitsProblem(volume(1, 1000), -1, 50), null);
  t.is(limitsProblem(volume(1, 1000), 900, 50), null);
  t.regex(limitsProblem(volume(1, 1000), 950, 50) ?? '', /50 is not less than the 1000 MB .* minus queue.disk_mb 950/);
  t.regex(limitsProblem(volume(1, 40), -1, 50) ?? '', /50 is not less than the 40 MB/);
  t.is(limitsProblem(volume(1, 10), 0, 50), null, 'no disk queue, no limit');
});

test('QUE-02, QUE-04, QUE-06, QUE-07, QUE-09, QUE-10: settings with their defaults and limits', (t) => {
  const places = { hostName: 'a', socket: '/run/a', state: '/var/lib/a', log: '/var/log/a' };
  const read = (queue: Record<string, unknown>) => readSettings(places, { queue }, {});
  const usual = read({});
  t.true('settings' in usual);
  if ('settings' in usual)
    t.like(usual.settings, {
      'queue.memory_mb': 128,
      'queue.folder': '/var/lib/a/queue',
      'queue.disk_mb': -1,
      'queue.free_mb': 50,
      'queue.alert_percent': 50,
      'queue.when_full': 'wait',
    });
  for (const wrong of [
    { memory_mb: 31 },
    { folder: 'queue' },
    { folder: '/a/../b' },
    { folder: '/' },
    { disk_mb: -2 },
    { free_mb: -1 },
    { alert_percent: 101 },
    { when_full: 'crash' },
  ])
    t.true('problem' in read(wrong), JSON.stringify(wrong));
  const moved = readSettings(places, null, { 'agent.state': '/else' });
  if ('settings' in moved) t.is(moved.settings['queue.folder'], '/else/queue');
});
