/** How a notification leaves this server (LOG-06). */
import type { Trap } from '../core/notify/traps.js';

export interface TrapRoad {
  readonly host: string;
  readonly port: number;
  readonly version: '2c' | '3';
  readonly community: string;
  readonly user: string;
  readonly auth: 'none' | 'sha' | 'sha256' | 'sha512';
  readonly authPassword: string | null;
  readonly privacy: 'none' | 'aes';
  readonly privacyPassword: string | null;
  /** Hex. */
  readonly engineId: string;
  /** RFC 3414: how often this engine was started, and seconds since. A receiver drops what seems to come from the past. */
  readonly engineBoots: number;
  readonly engineTime: number;
  /** Hundredths of a second since the agent started. */
  readonly upTime: number;
}

/** Rejects with an Error whose message says why; that a receiver heard it is not known. */
export type SendTrap = (road: TrapRoad, trap: Trap) => Promise<void>;
