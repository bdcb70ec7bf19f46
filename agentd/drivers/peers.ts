/** Servers whose keys are trusted (DESIGN 4). */
import { failure } from '../../protocol/errors.js';
import { PEER_COUNT_MAX } from '../../protocol/limits.js';
import type { Peer } from '../../protocol/messages/peer.js';
import { loadDocument, PEERS_FILE, StoredPeers } from './stored.js';
import { saveDocument, type World } from './world.js';

export class Peers {
  readonly #peers = new Map<string, Peer>();

  constructor(readonly world: World) {
    for (const peer of loadDocument(world.documents, PEERS_FILE, StoredPeers)?.peers ?? [])
      this.#peers.set(peer.key, peer);
  }

  list(): readonly Peer[] {
    return [...this.#peers.values()].sort((a, b) => a.trusted - b.trusted);
  }

  /** This server trusts itself: source and target may be the same (TOP-06). */
  isTrusted(key: string): boolean {
    return key === this.world.ownKey || this.#peers.has(key);
  }

  nameOf(key: string): string | null {
    return key === this.world.ownKey ? this.world.settings['agent.name'] : (this.#peers.get(key)?.name ?? null);
  }

  async trust(name: string, key: string): Promise<boolean> {
    if (key === this.world.ownKey) return false;
    const known = this.#peers.get(key);
    if (known?.name === name) return false;
    if (!known && this.#peers.size >= PEER_COUNT_MAX)
      throw failure('TOO_MANY', { what: 'trusted servers', limit: PEER_COUNT_MAX });
    this.#peers.set(key, { name, key, trusted: this.world.clock.wall() });
    try {
      await this.#save();
    } catch (error) {
      if (known) this.#peers.set(key, known);
      else this.#peers.delete(key);
      throw error;
    }
    this.world.log.say('PEER_TRUSTED', { name, key }, { server: name });
    return true;
  }

  async forget(key: string): Promise<void> {
    const known = this.#peers.get(key);
    if (!known) throw failure('PEER_UNKNOWN', { key });
    this.#peers.delete(key);
    await this.#save();
    this.world.log.say('PEER_FORGOTTEN', { name: known.name, key }, { server: known.name });
  }

  #save(): Promise<void> {
    return saveDocument(this.world, PEERS_FILE, { schema: 1, peers: this.list() });
  }
}
