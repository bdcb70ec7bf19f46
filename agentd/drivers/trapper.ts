/** Sends SNMP notifications (LOG-06). Hears every log line; nothing here makes anybody wait. */
import { z } from 'zod';
import { failure } from '../../protocol/errors.js';
import { TRAP_QUEUE_MAX } from '../../protocol/limits.js';
import type { LogLine } from '../../protocol/messages/log.js';
import { type CyclicPhase, cyclicStep } from '../core/notify/cyclic.js';
import { engineIdOf, type Trap, trapOf, trapOfTest } from '../core/notify/traps.js';
import { type Listen, parseHost, splitList } from '../core/settings/field.js';
import type { Settings } from '../core/settings/settings.js';
import type { LogSink } from '../ports/log-sink.js';
import type { SendTrap, TrapRoad } from '../ports/traps.js';
import type { Vault } from '../ports/vault.js';
import { saveSoon, type World } from './world.js';

const SNMP_FILE = 'snmp.sts';
const SNMP_PORT = 162;
const Stored = z.object({ schema: z.literal(1), boots: z.number().int().nonnegative() });
/** RFC 3414 section 2.2.2: the largest value, after which an engine needs a new identity. */
const BOOTS_MAX = 2_147_483_647;

const nameOf = ({ host, port }: Listen): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

export class Trapper implements LogSink {
  #boots: number | null = null;
  #waiting = 0;
  readonly #phases = new Map<string, CyclicPhase>();
  #closed = false;

  constructor(
    readonly world: () => World,
    readonly vault: Vault,
    readonly sendTrap: SendTrap,
    /** By the steady clock: receivers refuse what comes from an engine whose time stands still or jumps. */
    readonly started: number,
  ) {}

  write(line: LogLine): void {
    if (this.#closed || !this.#settings['snmp.enabled']) return;
    const trap = trapOf(line, this.#settings['agent.name']);
    if (!trap) return;
    for (const target of this.#targets()) {
      // A network that takes nothing must not fill the memory (I8); the log has what is dropped.
      if (this.#waiting >= TRAP_QUEUE_MAX) {
        this.#outcome(target, 'too many traps wait');
        continue;
      }
      this.#waiting += 1;
      this.#send(target, trap)
        .then(
          () => this.#outcome(target, null),
          (error: unknown) => this.#outcome(target, error instanceof Error ? error.message : String(error)),
        )
        .finally(() => {
          this.#waiting -= 1;
        });
    }
  }

  close(): void {
    this.#closed = true;
  }

  /** @throws Failure SNMP_NOT_CONFIGURED, SNMP_TEST_FAILED */
  async test(): Promise<string[]> {
    const settings = this.#settings;
    const targets = this.#targets();
    if (targets.length === 0) throw failure('SNMP_NOT_CONFIGURED', { missing: 'a target' });
    if (settings['snmp.version'] === '3') {
      if (settings['snmp.user'] === '') throw failure('SNMP_NOT_CONFIGURED', { missing: 'a user' });
      if (settings['snmp.auth'] !== 'none' && !this.vault.has('snmp.auth_password'))
        throw failure('SNMP_NOT_CONFIGURED', { missing: 'the authentication pass phrase' });
      if (settings['snmp.privacy'] !== 'none' && !this.vault.has('snmp.privacy_password'))
        throw failure('SNMP_NOT_CONFIGURED', { missing: 'the encryption pass phrase' });
    }
    const trap = trapOfTest(settings['agent.name']);
    for (const target of targets) {
      try {
        await this.#send(target, trap);
      } catch (error) {
        throw failure('SNMP_TEST_FAILED', { target: nameOf(target), problem: (error as Error).message });
      }
    }
    return targets.map(nameOf);
  }

  get #settings(): Settings {
    return this.world().settings;
  }

  #targets(): Listen[] {
    return splitList(this.#settings['snmp.targets']).flatMap((text) => parseHost(text, SNMP_PORT) ?? []);
  }

  /** LOG-30, for each target of its own. */
  #outcome(target: Listen, problem: string | null): void {
    const name = nameOf(target);
    const [phase, acts] = cyclicStep(this.#phases.get(name) ?? 'working', problem === null ? 'sent' : 'failed');
    this.#phases.set(name, phase);
    if (this.#closed) return;
    const { log } = this.world();
    if (acts.includes('tell_failed')) log.say('SNMP_FAILED', { target: name, problem: problem ?? '' });
    if (acts.includes('tell_works')) log.say('SNMP_WORKS', { target: name });
  }

  async #send({ host, port }: Listen, trap: Trap): Promise<void> {
    const settings = this.#settings;
    const version = settings['snmp.version'];
    const { clock, ownKey } = this.world();
    const up = clock.steady() - this.started;
    const secret = (key: string, wanted: boolean): string | null =>
      version === '3' && wanted ? this.vault.read(key) : null;
    const road: TrapRoad = {
      host,
      port,
      version,
      community: settings['snmp.community'],
      user: settings['snmp.user'],
      auth: settings['snmp.auth'],
      authPassword: secret('snmp.auth_password', settings['snmp.auth'] !== 'none'),
      privacy: settings['snmp.privacy'],
      privacyPassword: secret('snmp.privacy_password', settings['snmp.privacy'] !== 'none'),
      engineId: settings['snmp.engine_id'] || engineIdOf(ownKey),
      engineBoots: version === '3' ? this.#engineBoots() : 0,
      engineTime: Math.floor(up / 1000),
      upTime: Math.floor(up / 10) % 4_294_967_296,
    };
    await this.sendTrap(road, trap);
  }

  /** Counted when version 3 is first used after a start, so that time never seems to go back to a receiver. */
  #engineBoots(): number {
    if (this.#boots !== null) return this.#boots;
    const world = this.world();
    let before = 0;
    try {
      const read = Stored.safeParse(world.documents.load(SNMP_FILE));
      if (read.success) before = read.data.boots;
    } catch {
      // A count that cannot be read begins anew; receivers say so in their own logs.
    }
    this.#boots = Math.min(BOOTS_MAX, before + 1);
    saveSoon(world, SNMP_FILE, { schema: 1, boots: this.#boots });
    return this.#boots;
  }
}
