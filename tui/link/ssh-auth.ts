/**
 * Ways to prove who we are, in the order a person would want: agent, keys, what the server asks, password. Keys are
 * opened only when their turn comes, so nobody types a passphrase that is not needed.
 */
import { readFile } from 'node:fs/promises';
import ssh2, { type AnyAuthMethod, type AuthHandlerMiddleware, type AuthenticationType, type ParsedKey } from 'ssh2';
import type { Deadline } from './deadline.js';
import type { HostConfig } from './ssh-config.js';
import type { TransportOptions } from './transport.js';

const ATTEMPTS_MAX = 3;

type Method = Exclude<AuthenticationType, 'none' | 'hostbased'>;

export interface Authentication {
  readonly handler: AuthHandlerMiddleware;
  /** Methods that were tried, in words. */
  tried(): string;
}

export function authentication(config: HostConfig, options: TransportOptions, deadline: Deadline): Authentication {
  const tried = new Set<string>();
  const succeeded = new Set<Method>();
  let attempts = generate(config, options, deadline, succeeded);
  let last: Method | null = null;

  const next = async (left: readonly AuthenticationType[] | null, partial: boolean): Promise<AnyAuthMethod | false> => {
    if (left === null) return { type: 'none', username: config.user };
    if (partial && last) {
      // The server wants more than one proof; start again with what it has not had yet.
      succeeded.add(last);
      attempts = generate(config, options, deadline, succeeded);
    }
    // A denied method may return in the list; each generator ends, so this loop does.
    for (;;) {
      const step = await attempts.next(left);
      if (step.done) return false;
      const wire: AuthenticationType = step.value.type === 'agent' ? 'publickey' : step.value.type;
      if (!left.includes(wire)) continue;
      last = step.value.type as Method;
      tried.add(step.value.type === 'publickey' ? 'key' : step.value.type);
      return step.value;
    }
  };

  return {
    handler: (left, partial, done) => {
      next(left as AuthenticationType[] | null, partial).then(
        (method) => done(method as AnyAuthMethod),
        () => done(false as unknown as AnyAuthMethod),
      );
    },
    tried: () => [...tried].join(', '),
  };
}

async function* generate(
  config: HostConfig,
  options: TransportOptions,
  deadline: Deadline,
  without: ReadonlySet<Method>,
): AsyncGenerator<AnyAuthMethod, void, readonly AuthenticationType[]> {
  const ask = options.prompts?.secret;
  const username = config.user;
  const secret = (
    kind: 'password' | 'passphrase' | 'challenge',
    prompt: string,
    echo: boolean,
    attempt: number,
  ): Promise<string | null> =>
    ask
      ? deadline.person(() => ask({ kind, host: config.host, user: username, prompt, echo, attempt }))
      : Promise.resolve(null);

  if (config.agent && !config.identitiesOnly && !without.has('agent'))
    yield { type: 'agent', username, agent: config.agent };

  let left: readonly AuthenticationType[] = ['publickey', 'keyboard-interactive', 'password'];
  if (!without.has('publickey')) {
    for (const file of config.identities) {
      if (!left.includes('publickey')) break;
      const key = await openKey(file, secret);
      if (key) left = yield { type: 'publickey', username, key };
    }
  }
  if (!ask) return;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX && !without.has('keyboard-interactive'); attempt++) {
    let gaveUp = false;
    left = yield {
      type: 'keyboard-interactive',
      username,
      prompt: (name, instructions, _lang, prompts, finish) => {
        const answerAll = async (): Promise<string[]> => {
          const answers: string[] = [];
          for (const one of prompts) {
            const text = [name, instructions, one.prompt].filter((part) => part !== '').join('\n');
            const answer = gaveUp ? null : await secret('challenge', text, one.echo === true, attempt);
            if (answer === null) gaveUp = true;
            answers.push(answer ?? '');
          }
          return answers;
        };
        answerAll().then(finish, () => finish(prompts.map(() => '')));
      },
    };
    if (gaveUp || !left.includes('keyboard-interactive')) break;
  }
  for (let attempt = 1; attempt <= ATTEMPTS_MAX && !without.has('password'); attempt++) {
    if (!left.includes('password')) break;
    const password = await secret('password', `Password of ${username} on ${config.host}`, false, attempt);
    if (password === null) break;
    left = yield { type: 'password', username, password };
  }
}

/** Reads a private key; null when there is none, it is of a kind ssh2 cannot use, or nobody knows its passphrase. */
async function openKey(
  file: string,
  secret: (kind: 'passphrase', prompt: string, echo: boolean, attempt: number) => Promise<string | null>,
): Promise<ParsedKey | null> {
  let text: Buffer;
  try {
    text = await readFile(file);
  } catch {
    return null;
  }
  let key = ssh2.utils.parseKey(text);
  for (
    let attempt = 1;
    key instanceof Error && /passphrase|encrypted/i.test(key.message) && attempt <= ATTEMPTS_MAX;
    attempt++
  ) {
    const passphrase = await secret('passphrase', `Passphrase of ${file}`, false, attempt);
    if (passphrase === null) return null;
    key = ssh2.utils.parseKey(text, passphrase);
    // A wrong passphrase is reported in several ways ("integrity check failed"); all of them mean: ask again.
    if (key instanceof Error && attempt < ATTEMPTS_MAX) key = new Error(`encrypted: ${key.message}`);
  }
  const one = Array.isArray(key) ? key[0] : key;
  return !one || one instanceof Error || one.getPrivatePEM() === null ? null : one;
}
