/** Two servers as an operator would have them: one busy source with several sets, one target. */
import { notice } from '../../protocol/errors.js';
import { AT, FakeAgent, makeConnection, makeSet } from './fake-agent.js';

export function twoServers(): { alpha: FakeAgent; beta: FakeAgent } {
  const alpha = new FakeAgent('alpha');
  const beta = new FakeAgent('beta');
  for (const name of ['documents', 'mail', 'postgres']) alpha.sets.set(name, makeSet(name));
  const add = (item: ReturnType<typeof makeConnection>): void => {
    alpha.connections.set(item.key, item);
  };
  add(makeConnection(1, 'documents', 'beta'));
  add(
    makeConnection(
      2,
      'mail',
      'beta',
      { latencyMs: 1_840, mirrorFilesDone: 421, mirrorFilesTotal: 1_200 },
      {
        targetDataState: 'Mirroring',
        mirrorStatus: 'Mirroring',
        mirrorPercent: 35,
        remainingMirrorBytes: 33_000_000,
        sentBytes: 19_000_000,
        sentMirrorBytes: 19_000_000,
        queuedOps: 211,
      },
    ),
  );
  add(
    makeConnection(
      3,
      'postgres',
      'beta',
      {
        severity: 'warning',
        problem: notice('SOURCE_LOST', { set: 'postgres', why: 'the queue of the kernel was full' }),
        latencyMs: -1,
        quietMs: -1,
        phase: 'waiting',
      },
      {
        targetDataState: 'Mirror Required',
        targetStatus: 'Unknown',
        transmitMode: 'Error',
        replicationStatus: 'Pending',
        connectedSince: null,
      },
    ),
  );
  beta.grants.set('key-1-documents', {
    connection: 'key-1-documents',
    peer: 'ab'.repeat(32),
    server: 'alpha',
    set: 'documents',
    mappings: [{ source: '/srv/documents', target: '/replica/documents' }],
    ignoreDeletes: false,
    status: 'OK',
    remapLinks: true,
    created: AT,
    createdBy: 'operator',
    linked: true,
    address: '10.0.0.1',
    paused: false,
    writtenBytes: 73_400_320,
    queuedBytes: 0,
    operations: 4_211,
    failed: 0,
    lastFileTouched: '/replica/documents/reports/2026/november.ods',
  });
  alpha.write('AGENT_STARTED', { version: '0.1.0', sets: 3, connections: 3, listen: '0.0.0.0:1500' });
  alpha.write(
    'SOURCE_READY',
    { set: 'documents', capture: 'fanotify', files: 1200, bytes: 52_000_000, ms: 14 },
    { set: 'documents' },
  );
  alpha.write(
    'SOURCE_READY',
    { set: 'mail', capture: 'fanotify', files: 1200, bytes: 52_000_000, ms: 17 },
    { set: 'mail' },
  );
  alpha.write(
    'SOURCE_LOST',
    { set: 'postgres', why: 'the queue of the kernel was full' },
    { set: 'postgres', connection: 3 },
  );
  beta.write('AGENT_STARTED', { version: '0.1.0', sets: 0, connections: 0, listen: '0.0.0.0:1500' });
  return { alpha, beta };
}
