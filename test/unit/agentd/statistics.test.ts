import test from 'ava';
import fc from 'fast-check';
import {
  type ConnectionFacts,
  composeStatistics,
  type Counters,
  mirrorPercent,
  targetDataState,
} from '../../../agentd/core/statistics/compose.js';
import { CAUGHT_UP_MS, HEARTBEAT_FRESH_MS } from '../../../protocol/limits.js';
import { CONNECTION_PHASE } from '../../../protocol/messages/connection.js';
import { SET_STATE } from '../../../protocol/messages/set.js';
import { Statistics } from '../../../protocol/messages/statistics.js';

const counters: Counters = {
  linked: true,
  transmitPaused: false,
  mirror: 'idle',
  mirrorHeld: false,
  replicating: true,
  queuedOps: 12,
  queuedBytes: 1200,
  queuedMirrorOps: 2,
  queuedMirrorBytes: 200,
  queueMemoryBytes: 1300,
  queueDiskBytes: 70_000,
  sentBytes: 5000,
  sentCompressedBytes: 2500,
  sentMirrorBytes: 4000,
  sentMirrorCompressedBytes: 2000,
  skippedMirrorBytes: 700,
  remainingMirrorBytes: 0,
  mirrorFilesDone: 10,
  mirrorFilesTotal: 10,
  targetPaused: false,
  targetPausing: false,
  targetRetrying: false,
  failed: 0,
  repairing: false,
  latencyMs: 0,
  unappliedMs: 0,
  heartbeatMs: 900,
  lastPath: '/data/f',
  quietMs: 100,
};
const good: ConnectionFacts = {
  id: 3,
  set: 'docs',
  target: 'beta',
  targetAddress: '10.0.0.2',
  phase: 'linked',
  failures: 0,
  source: 'watching',
  mirror: 'idle',
  complete: true,
  replication: true,
  calculateSize: true,
  mirrorBase: 0,
  connectedSince: 42,
  manual: 'flowing',
  session: 'realtime',
  notLoaded: false,
  outOfMemory: false,
  simulated: false,
  stalled: false,
  freshMs: HEARTBEAT_FRESH_MS,
  counters,
};
const of = (facts: Partial<ConnectionFacts>, count: Partial<Counters> = {}): ReturnType<typeof composeStatistics> =>
  composeStatistics({ ...good, ...facts, counters: facts.counters === null ? null : { ...counters, ...count } });

test('STA-01..26: counters land in their columns and the words fit the schema', (t) => {
  const statistics = of({});
  t.deepEqual(Statistics.parse(statistics), statistics);
  t.like(statistics, {
    replicationSet: 'docs',
    connectionId: 3,
    targetName: 'beta',
    targetIp: '10.0.0.2',
    targetDataState: 'OK',
    targetStatus: 'OK',
    commitMode: 'Real-time',
    transmitMode: 'Started',
    mirrorStatus: 'Idle',
    replicationStatus: 'Replicating',
    queuedOps: 12,
    sentBytes: 5000,
    sentCompressedBytes: 2500,
    intermediateQueueBytes: 1300,
    diskQueueBytes: 70_000,
    queuedReplicationBytes: 1000,
    sentReplicationBytes: 1000,
    sentCompressedReplicationBytes: 500,
    queuedMirrorOps: 2,
    sentMirrorBytes: 4000,
    sentCompressedMirrorBytes: 2000,
    skippedMirrorBytes: 700,
    remainingMirrorBytes: 0,
    queuedReplicationOps: 10,
    lastFileTouched: '/data/f',
    connectedSince: 42,
  });
});

test("TRN-44: the compressed counters are the engine's, which counts what travels as it is the same in both", (t) => {
  const s = of({}, { sentCompressedBytes: 5000, sentMirrorCompressedBytes: 4000 });
  t.deepEqual(
    [s.sentCompressedBytes, s.sentCompressedReplicationBytes, s.sentCompressedMirrorBytes],
    [s.sentBytes, s.sentReplicationBytes, s.sentMirrorBytes],
  );
});

test('STA-07, STA-08, TRN-22: Commit Mode and Transmit Mode tell the truth', (t) => {
  const modes = (facts: Partial<ConnectionFacts>): string => {
    const s = of(facts);
    return `${s.commitMode} ${s.transmitMode}`;
  };
  t.is(modes({}), 'Real-time Started');
  t.is(modes({ manual: 'paused' }), 'Real-time Paused');
  t.is(modes({ manual: 'stopped', phase: 'held' }), 'Real-time Stopped');
  t.is(modes({ phase: 'waiting', failures: 1 }), 'Real-time Error');
  t.is(modes({ phase: 'refused', failures: 1 }), 'Real-time Error');
  t.is(modes({ phase: 'linking', failures: 2 }), 'Real-time Error');
  t.is(modes({ phase: 'opening', counters: null }), 'Real-time Stopped');
  // A scheduled start: Scheduled, then Started, never Error in between.
  t.is(modes({ session: 'waiting', phase: 'held' }), 'Scheduled Scheduled');
  t.is(modes({ session: 'session', phase: 'linking' }), 'Scheduled Scheduled');
  t.is(modes({ session: 'session', phase: 'linked' }), 'Scheduled Started');
  t.is(modes({ session: 'session', phase: 'linked', manual: 'paused' }), 'Scheduled Paused');
  t.is(modes({ session: 'session', phase: 'waiting', failures: 1 }), 'Scheduled Error');
  // A person's stop is shown, whatever the schedule says.
  t.is(modes({ session: 'waiting', phase: 'held', manual: 'stopped' }), 'Scheduled Stopped');
});

test('STA-05: Target Data State', (t) => {
  const state = (facts: Partial<ConnectionFacts>, count: Partial<Counters> = {}): string =>
    of(facts, count).targetDataState;
  t.is(state({}), 'OK');
  for (const mirror of ['starting', 'mirroring', 'paused'] as const)
    t.is(state({ mirror, complete: false }), 'Mirroring', 'MIR-04');
  t.is(state({ complete: false }), 'Mirror Required');
  t.is(state({ complete: false, mirror: 'wanted', phase: 'waiting' }), 'Mirror Required');
  t.is(state({}, { failed: 1 }), 'Mirror Required', 'REP-11');
  t.is(state({ source: 'opening' }), 'Not Ready');
  t.is(state({ source: 'rescanning' }), 'Unknown', 'I3: events were lost');
  t.is(state({ source: 'stopped' }), 'Unknown', 'I11');
  t.is(state({ phase: 'waiting', counters: null }), 'Unknown');
  t.is(state({}, { quietMs: HEARTBEAT_FRESH_MS + 1 }), 'Unknown');
  t.is(state({}, { latencyMs: -1 }), 'Unknown');
  t.is(state({}, { latencyMs: CAUGHT_UP_MS + 1 }), 'Busy');
  t.is(state({}, { heartbeatMs: HEARTBEAT_FRESH_MS + 1 }), 'Busy', 'P26: the link answers, the applier does not');
  t.is(state({}, { heartbeatMs: -1 }), 'Busy', 'P26: it never did');
  t.is(state({ replication: false }), 'Unknown', 'REP-01: changes are not sent');
});

test('I3: OK is said only of a live, caught-up, complete connection with a fresh heartbeat', (t) => {
  // Mostly good, so that the few bad facts are seen alone, too.
  const mostly = <T>(usual: T, other: fc.Arbitrary<T>): fc.Arbitrary<T> =>
    fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });
  const anyCounters = fc.record({
    linked: mostly(true, fc.boolean()),
    failed: mostly(0, fc.nat(2)),
    quietMs: mostly(5, fc.integer({ min: -1, max: 20_000 })),
    latencyMs: mostly(0, fc.integer({ min: -1, max: 20_000 })),
    heartbeatMs: mostly(900, fc.integer({ min: -1, max: 20_000 })),
  });
  let said = 0;
  fc.assert(
    fc.property(
      mostly('linked', fc.constantFrom(...CONNECTION_PHASE)),
      mostly('watching', fc.constantFrom(...SET_STATE)),
      mostly('idle', fc.constantFrom('wanted', 'starting', 'mirroring', 'paused')),
      mostly(true, fc.boolean()),
      mostly(true, fc.boolean()),
      fc.option(anyCounters, { freq: 10 }),
      (phase, source, mirror, complete, replication, count) => {
        const facts = {
          ...good,
          phase,
          source,
          mirror,
          complete,
          replication,
          counters: count && { ...counters, ...count },
        } as ConnectionFacts;
        if (targetDataState(facts) !== 'OK') return;
        said += 1;
        t.true(phase === 'linked' && source === 'watching' && mirror === 'idle' && complete && replication);
        t.true(
          count?.linked === true &&
            count.failed === 0 &&
            count.quietMs >= 0 &&
            count.quietMs <= HEARTBEAT_FRESH_MS &&
            count.latencyMs >= 0 &&
            count.latencyMs <= CAUGHT_UP_MS &&
            count.heartbeatMs >= 0 &&
            count.heartbeatMs <= HEARTBEAT_FRESH_MS,
        );
      },
    ),
    { numRuns: 2_000 },
  );
  t.true(said > 100, `OK was said ${said} times`);
});

test('STA-06: Target Status', (t) => {
  t.is(of({}).targetStatus, 'OK');
  t.is(of({}, { targetPaused: true }).targetStatus, 'Paused');
  t.is(of({}, { targetPausing: true }).targetStatus, 'Pause Pending', 'CON-60');
  t.is(of({}, { targetPausing: true, targetRetrying: true }).targetStatus, 'Pause Pending', 'the wish is said first');
  t.is(of({ phase: 'waiting', notLoaded: true }).targetStatus, 'Not Loaded', 'LIC-05');
  t.is(of({ notLoaded: true }).targetStatus, 'OK', 'an older try does not count while the link is up');
  t.is(of({}, { targetRetrying: true }).targetStatus, 'Retrying', 'REP-10');
  t.is(of({ phase: 'waiting' }).targetStatus, 'Unknown');
});

test('STA-08: Transmit Mode (CON-02..06)', (t) => {
  t.is(of({}).transmitMode, 'Started');
  t.is(of({ manual: 'paused' }).transmitMode, 'Paused');
  t.is(of({ phase: 'waiting' }).transmitMode, 'Error');
  t.is(of({ phase: 'refused' }).transmitMode, 'Error');
  t.is(of({ phase: 'opening' }).transmitMode, 'Stopped');
  t.is(of({ phase: 'linking' }).transmitMode, 'Stopped');
  t.is(of({ phase: 'linking', failures: 3 }).transmitMode, 'Error');
});

test('STA-09, MIR-09: Mirror Status', (t) => {
  t.is(of({}).mirrorStatus, 'Idle');
  t.is(of({ mirror: 'mirroring' }, { mirror: 'mirroring' }).mirrorStatus, 'Mirroring');
  t.is(of({ mirror: 'starting' }).mirrorStatus, 'Mirroring');
  t.is(of({ mirror: 'paused' }, { mirror: 'paused' }).mirrorStatus, 'Paused');
  t.is(of({ mirror: 'mirroring' }, { mirror: 'waiting' }).mirrorStatus, 'Waiting');
  t.is(of({}, { mirror: 'verifying' }).mirrorStatus, 'Verifying');
});

test('SET-20, SET-21: percentage only with a known size, and 100 only at the end', (t) => {
  const running: ConnectionFacts = {
    ...good,
    mirror: 'mirroring',
    mirrorBase: 1_000,
    counters: {
      ...counters,
      mirror: 'mirroring',
      sentMirrorBytes: 1_500,
      skippedMirrorBytes: 0,
      remainingMirrorBytes: 500,
    },
  };
  t.is(mirrorPercent(running), 50);
  t.is(mirrorPercent({ ...running, calculateSize: false }), null);
  t.is(mirrorPercent({ ...running, counters: { ...counters, mirror: 'mirroring', remainingMirrorBytes: 0 } }), 99);
  t.is(mirrorPercent(good), null);
  t.is(of({ calculateSize: false }, { remainingMirrorBytes: 9 }).remainingMirrorBytes, 0);
});

test('STA-10, REP-08: Replication Status', (t) => {
  t.is(of({}).replicationStatus, 'Replicating');
  t.is(of({}, { queuedOps: 2, queuedMirrorOps: 2 }).replicationStatus, 'Ready');
  t.is(of({ replication: false }).replicationStatus, 'Stopped');
  t.is(of({ complete: false }).replicationStatus, 'Pending', 'MIR-33: until somebody mirrors');
  t.is(of({ complete: false, outOfMemory: true }).replicationStatus, 'Out of Memory', 'REP-09');
  t.is(of({ outOfMemory: true }).replicationStatus, of({}).replicationStatus, 'a mirror has brought everything');
  t.is(of({ source: 'stopped' }).replicationStatus, 'Pending');
  t.is(of({ counters: null }).replicationStatus, 'Pending');
});
