import test from 'ava';
import fc from 'fast-check';
import { findLoop, findShared, type Granted, originsOf } from '../../../agentd/core/mapping/guards.js';
import { innerOverlap, planMapping } from '../../../agentd/core/mapping/mapping.js';
import type { MappingWish } from '../../../protocol/messages/connection.js';
import type { Mapping } from '../../../protocol/messages/peer.js';

const plan = (wish: MappingWish, roots: string[]): readonly Mapping[] => {
  const result = planMapping(wish, roots, 'alpha', 'docs');
  if ('problem' in result) throw new Error(`${result.path}: ${result.problem}`);
  return result;
};
const problem = (wish: MappingWish, roots: string[]): string => {
  const result = planMapping(wish, roots, 'alpha', 'docs');
  return 'problem' in result ? `${result.path}: ${result.problem}` : '';
};

test('CON-26: one to one keeps the directories, whatever characters they hold (SET-09)', (t) => {
  t.deepEqual(plan({ kind: 'one_to_one' }, ['/etc/x.d', '/home']), [
    { source: '/etc/x.d', target: '/etc/x.d' },
    { source: '/home', target: '/home' },
  ]);
});

test('CON-25: all to one builds /source_name/replication_set_name/volume_name', (t) => {
  t.deepEqual(plan({ kind: 'all_to_one' }, ['/var/lib', '/home']), [
    { source: '/var/lib', target: '/alpha/docs/var/lib' },
    { source: '/home', target: '/alpha/docs/home' },
  ]);
  t.is(plan({ kind: 'all_to_one', base: '/replica/' }, ['/'])[0]?.target, '/replica/alpha/docs');
});

test('CON-27: custom directories; the nearest one above decides', (t) => {
  t.deepEqual(
    plan(
      {
        kind: 'custom',
        custom: [
          { source: '/data', target: '/r/data' },
          { source: '/data/big', target: '/disk2/big/' },
        ],
      },
      ['/data/big', '/data/small'],
    ),
    [
      { source: '/data/big', target: '/disk2/big' },
      { source: '/data/small', target: '/r/data/small' },
    ],
  );
  t.regex(problem({ kind: 'custom', custom: [{ source: '/other', target: '/r' }] }, ['/data']), /^\/data: .*no target/);
  t.regex(
    problem(
      {
        kind: 'custom',
        custom: [
          { source: '/data', target: '/r' },
          { source: '/idle', target: '/q' },
        ],
      },
      ['/data'],
    ),
    /^\/idle: .*not a directory of the set/,
  );
  t.regex(problem({ kind: 'custom', custom: [{ source: '/data', target: 'r' }] }, ['/data']), /absolute/);
  t.regex(
    problem(
      {
        kind: 'custom',
        custom: [
          { source: '/data', target: '/a' },
          { source: '/data/', target: '/b' },
        ],
      },
      ['/data'],
    ),
    /twice/,
  );
});

test('SET-09: forbidden characters in a chosen location; parts carried over from the source are exempt', (t) => {
  t.regex(problem({ kind: 'custom', custom: [{ source: '/data', target: '/r.old' }] }, ['/data']), /SET-09/);
  t.is(
    plan({ kind: 'custom', custom: [{ source: '/data/x.d', target: '/r/x.d' }] }, ['/data/x.d'])[0]?.target,
    '/r/x.d',
  );
  t.regex(problem({ kind: 'all_to_one', base: '/a?b' }, ['/data']), /SET-09/);
});

test('targets of one mapping must not hold each other', (t) => {
  t.is(
    innerOverlap([
      { source: '/a', target: '/x' },
      { source: '/b', target: '/y' },
    ]),
    null,
  );
  t.truthy(
    innerOverlap([
      { source: '/a', target: '/x' },
      { source: '/b', target: '/x/y' },
    ]),
  );
});

const grant = (
  connection: string,
  source: string,
  target: string,
  origins: { key: string; path: string }[],
): Granted => ({ connection, server: 's', set: 'docs', mappings: [{ source, target }], origins });

test('TOP-06, TOP-08: on a single server the target must lie outside of the source', (t) => {
  const origins = originsOf('A', ['/data'], []);
  t.deepEqual(findLoop('A', [{ source: '/data', target: '/data/copy' }], origins), {
    target: '/data/copy',
    source: '/data',
  });
  t.truthy(findLoop('A', [{ source: '/data', target: '/' }], origins), 'a target that holds the source');
  t.is(findLoop('A', [{ source: '/data', target: '/data2' }], origins), null);
});

test('TOP-02, TOP-08: two servers that feed each other', (t) => {
  // A:/x -> B:/y/x exists on B. Now B wants B:/y -> A:/x/y.
  const onB = [grant('1', '/x', '/y/x', originsOf('A', ['/x'], []) as never)];
  const origins = originsOf('B', ['/y'], onB);
  t.deepEqual(findLoop('A', [{ source: '/y', target: '/x/y' }], origins), { target: '/x/y', source: '/x' });
  t.is(findLoop('A', [{ source: '/y', target: '/z' }], origins), null, 'TOP-10: different data may go both ways');
});

test('TOP-05: chains are allowed, rings of any length are not', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 8 }), (length) => {
      let granted: Granted[] = [];
      for (let hop = 0; hop < length; hop += 1) {
        const origins = originsOf(`S${hop}`, ['/d'], granted);
        const next = `S${hop + 1}`;
        t.is(findLoop(next, [{ source: '/d', target: '/d' }], origins), null);
        granted = [grant(String(hop), '/d', '/d', origins as never)];
      }
      const origins = originsOf(`S${length}`, ['/d'], granted);
      t.truthy(findLoop('S0', [{ source: '/d', target: '/d' }], origins));
    }),
  );
});

test('TOP-09: two sets never share a target location', (t) => {
  const granted = [grant('1', '/a', '/r/a', [])];
  t.truthy(findShared('2', [{ source: '/b', target: '/r/a' }], granted));
  t.truthy(findShared('2', [{ source: '/b', target: '/r/a/below' }], granted));
  t.truthy(findShared('2', [{ source: '/b', target: '/r' }], granted));
  t.is(findShared('2', [{ source: '/b', target: '/r/b' }], granted), null, 'TOP-03: many to one, side by side');
  t.is(findShared('1', [{ source: '/a', target: '/r/a' }], granted), null, 'the connection itself');
});
