import test from 'ava';
import fc from 'fast-check';
import { isWithin, join, normalize, overlaps, pathProblem, relative } from '../../../agentd/core/paths.js';
import {
  checkRules,
  engineRules,
  type CheckedRules,
  FORBIDDEN_CHARACTERS,
  formatRule,
  planRoots,
  ruleProblem,
  setNameProblem,
  sourceFolder,
  sourceKey,
  splitRule,
} from '../../../agentd/core/set/rules.js';
import type { Rule } from '../../../protocol/messages/set.js';

const inc = (path: string, recursive = true): Rule => ({ path, include: true, recursive });
const exc = (path: string, recursive = true): Rule => ({ path, include: false, recursive });
const checked = (...rules: Rule[]): CheckedRules => {
  const result = checkRules(rules);
  if ('problem' in result) throw new Error(result.problem);
  return result;
};

test('SET-09: forbidden characters, and nothing else, make a name impossible', (t) => {
  for (const character of FORBIDDEN_CHARACTERS) t.truthy(setNameProblem(`a${character}b`), character);
  for (const name of ['docs', 'New Replication Set', 'größe-1_2', 'a b']) t.is(setNameProblem(name), null, name);
  for (const name of ['', ' ', ' a', 'a ', 'a\nb', 'x'.repeat(129)])
    t.truthy(setNameProblem(name), JSON.stringify(name));
});

test('SET-08: a path may have 259 characters', (t) => {
  t.is(ruleProblem(inc(`/${'x'.repeat(258)}`)), null);
  t.regex(ruleProblem(inc(`/${'x'.repeat(259)}`)) ?? '', /SET-08/);
});

test('SET-04: wildcards stand in the last part only', (t) => {
  t.is(ruleProblem(inc('/data/*.db')), null);
  t.truthy(ruleProblem(inc('/da*/x')));
  t.truthy(ruleProblem(inc('data')));
  t.truthy(ruleProblem(inc('/data/../etc')));
  t.deepEqual(splitRule(inc('/data/*.db', false)), { path: '/data', pattern: '*.db', include: true, recursive: false });
  t.deepEqual(splitRule(inc('/data/*')), { path: '/data', pattern: null, include: true, recursive: true });
  t.is(splitRule(exc('/data/*')).pattern, '*', 'excluding what is in a directory keeps the directory');
  t.deepEqual(splitRule(inc('/*.db')), { path: '/', pattern: '*.db', include: true, recursive: true });
});

test('SET-06: a recursive rule says what lower rules of its kind say', (t) => {
  const result = checked(inc('/var/data'), inc('/var/data/old', false), inc('/var/data/new'));
  t.deepEqual(result.rules, [inc('/var/data')]);
  t.deepEqual(result.discarded, [inc('/var/data/old', false), inc('/var/data/new')]);
  t.deepEqual(checked(inc('/a'), inc('/a/'), inc('//a')).rules, [inc('/a')], 'the same rule counts once');
  t.deepEqual(checked(inc('/a', false), inc('/a')).rules, [inc('/a')]);
  t.deepEqual(checked(inc('/a', false), inc('/a/b', false)).rules.length, 2, 'without recursion both are needed');
});

test('SET-07: rules of different kinds are both applied', (t) => {
  t.deepEqual(checked(inc('/var/data'), exc('/var/data/old')).rules, [inc('/var/data'), exc('/var/data/old')]);
  t.deepEqual(checked(inc('/a'), exc('/a/b'), inc('/a/b/c')).rules.length, 3, 'an island in what is left out');
  t.deepEqual(checked(inc('/a'), exc('/a/*.tmp'), inc('/a/keep.tmp')).rules.length, 3);
});

test('SET-01: a set without an include rule is refused', (t) => {
  t.true('problem' in checkRules([exc('/a')]));
  t.true('problem' in checkRules([]));
});

test('SET-02: a rule reads as it is written', (t) => {
  t.is(formatRule(inc('/volume/directory/*')), '/volume/directory/* inc, rec');
  t.is(formatRule(exc('/a', false)), '/a exc, non-rec');
});

test('planRoots: directories of the includes, none inside another; files live in their directory', (t) => {
  const kind = (path: string) => (path.endsWith('.conf') ? ('file' as const) : ('directory' as const));
  const rules = checked(inc('/a'), exc('/a/b'), inc('/a/b/c'), inc('/etc/x.conf'), inc('/db/*.db', false)).rules;
  t.deepEqual(planRoots(rules, kind).roots, ['/a', '/db', '/etc']);
  t.deepEqual(planRoots([inc('/gone')], () => 'missing').roots, ['/gone'], 'SET-05: a path that is not there yet');
  t.deepEqual(planRoots([inc('/'), inc('/a', false)], kind).roots, ['/']);
});

const segment = fc.constantFrom('a', 'b', 'c', 'ab', '.d');
const path = fc.array(segment, { maxLength: 4 }).map((parts) => `/${parts.join('/')}`);

test('planRoots: every include rule lies in exactly one root', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(path, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 8 }), (drafts) => {
      const result = checkRules(drafts.map(([p, include, recursive]) => ({ path: p, include, recursive })));
      if ('problem' in result) return;
      const { roots, rules } = planRoots(result.rules, () => 'directory');
      for (const rule of rules.filter((one) => one.include))
        t.is(roots.filter((root) => isWithin(rule.path, root)).length, 1);
    }),
  );
});

test('checkRules: dropping is stable, a second pass drops nothing', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(path, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 8 }), (drafts) => {
      const first = checkRules(drafts.map(([p, include, recursive]) => ({ path: p, include, recursive })));
      if ('problem' in first) return;
      const second = checkRules(first.rules);
      t.false('problem' in second);
      if (!('problem' in second)) t.deepEqual(second.rules, first.rules);
    }),
  );
});

test('paths: join and relative are inverse; overlap is symmetric', (t) => {
  fc.assert(
    fc.property(path, path, (a, b) => {
      t.is(overlaps(a, b), overlaps(b, a));
      if (isWithin(a, b)) t.is(join(b, relative(a, b)), a);
      t.is(normalize(`${a}//`), a === '/' ? '/' : a);
      t.is(pathProblem(a), null);
    }),
  );
  t.false(isWithin('/ab', '/a'), 'a name that begins alike is another name');
});

test('the folder of a source is a possible file name for every possible set name', (t) => {
  const folders = new Set<string>();
  for (const name of ['docs', '\u65e5'.repeat(128), `${'\u65e5'.repeat(127)}x`, 'a b%c'])
    for (const generation of [1, 2])
      for (const roots of [['/a'], ['/a', '/b']]) {
        const folder = sourceFolder(sourceKey(name, generation, roots));
        t.true(Buffer.byteLength(folder) <= 255 && !folder.includes('/'), folder);
        folders.add(folder);
      }
  t.is(folders.size, 16);
});

test('a rule for a single file never takes in its neighbours', (t) => {
  t.deepEqual(engineRules([inc('/etc/x.conf'), inc('/a')], ['/etc', '/a'], '/state').at(-1), {
    path: '/state',
    pattern: null,
    include: false,
    recursive: true,
  });
  t.is(engineRules([inc('/a'), inc('/b')], ['/a', '/b'], '/state').length, 2, 'whole directories need no matching');
  t.is(engineRules([inc('/a', false), inc('/a/b')], ['/a'], '/state').length, 2);
});
