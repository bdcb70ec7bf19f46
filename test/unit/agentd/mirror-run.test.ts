/** What a mirror leaves behind for the run after a crash: the state file may be older than what happened since. */
import test from 'ava';
import { MirrorRun, type MirrorOwner } from '../../../agentd/drivers/mirror-run.js';
import type { StoredConnection } from '../../../agentd/drivers/stored.js';

type Stored = StoredConnection['mirror'];

/** @param remirror the setting @param stands the claim of a complete replica; the calls are noted in their order */
function rig(remirror: string, stands: boolean, stored: Stored): { readonly run: MirrorRun; readonly calls: string[] } {
  const calls: string[] = [];
  const claim = {
    get stands(): boolean {
      return stands;
    },
    make: () => void calls.push('claim'),
    withdraw: () => void calls.push('withdraw'),
  };
  const owner = {
    world: {
      settings: { 'source.remirror': remirror, 'source.checksum_all': true },
      engine: { mirrorStart: () => void calls.push('mirror') },
      log: { say: () => undefined },
    },
    at: {},
    scope: {},
    handle: 1,
    canMirror: () => true,
    mirrorBytes: () => 0,
    changed: () => undefined,
    replication: true,
    claim,
  } as unknown as MirrorOwner;
  return { run: new MirrorRun(owner, stored), calls };
}

const complete: Stored = { phase: 'idle', complete: true, options: null };

test('I3: nothing vouches for a replica while a mirror tells it anew, whatever is written down', (t) => {
  const { run, calls } = rig('difference_checksum', true, complete);
  run.ask('A start', 'asked', { kind: 'full' });
  run.begin();
  t.deepEqual(calls, ['withdraw', 'mirror'], 'taken back before the engine begins');
  run.started();
  run.done();
  t.deepEqual(calls, ['withdraw', 'mirror', 'claim']);
  t.true(run.state.complete);
});

test('I3: what breaks while a mirror is wanted takes the replica back, and the mirror stays as it was asked for', (t) => {
  const { run, calls } = rig('difference_checksum', true, complete);
  run.ask('A start', 'asked', { kind: 'full' });
  run.broken();
  t.deepEqual(calls, ['withdraw']);
  t.deepEqual(run.state, { phase: 'wanted', complete: false, options: { kind: 'full' } });
});

test('MIR-32: a replica that was taken back in a run that could not write it down is mirrored by itself', (t) => {
  const { run, calls } = rig('difference_checksum', false, complete);
  t.deepEqual(run.state, { phase: 'wanted', complete: false, options: { kind: 'difference', checksum: true } });
  run.begin();
  t.true(calls.includes('mirror'));
});

test('MIR-33: or waits for a person where that is off', (t) => {
  t.deepEqual(rig('off', false, complete).run.state, { phase: 'idle', complete: false, options: null });
  t.deepEqual(rig('off', true, complete).run.state, complete, 'one that still stands is believed');
});
