/** Hands the settings that the engine obeys at once to the engine, at the start and whenever one of them changes. */
import type { EngineEvent, EngineTuning } from '../../native/index.js';
import type { SettingKey, Settings } from '../core/settings/settings.js';
import type { LogScope } from './log.js';
import type { World } from './world.js';

const KEYS: ReadonlySet<SettingKey> = new Set<SettingKey>([
  'heartbeat.interval_s',
  'heartbeat.missed_limit',
  'heartbeat.show',
  'network.address',
  'network.window',
  'source.mirror_pending',
  'source.replication_ratio',
  'target.mirror_high_percent',
  'target.mirror_low_percent',
]);

/** @param memoryBytes what percentages of memory are of */
export function tuningOf(settings: Settings, memoryBytes: number): EngineTuning {
  const percent = (of: number): number => Math.floor((memoryBytes / 100) * of);
  return {
    heartbeatMs: settings['heartbeat.interval_s'] * 1_000,
    heartbeatsMissedMax: settings['heartbeat.missed_limit'],
    showHeartbeats: settings['heartbeat.show'],
    localAddress: settings['network.address'],
    windowBytes: settings['network.window'],
    mirrorPendingMax: settings['source.mirror_pending'],
    replicationRatio: settings['source.replication_ratio'],
    mirrorHighBytes: percent(settings['target.mirror_high_percent']),
    mirrorLowBytes: percent(settings['target.mirror_low_percent']),
  };
}

/** SRV-37. */
export function tellHeartbeat(
  { log, settings }: World,
  peer: string,
  { roundTripUs, missed }: { readonly roundTripUs: number; readonly missed: number },
  scope: LogScope,
): void {
  if (missed > 0) log.say('HEARTBEAT_MISSED', { peer, missed, limit: settings['heartbeat.missed_limit'] }, scope);
  else log.say('HEARTBEAT', { peer, ms: Math.round(roundTripUs / 100) / 10 }, scope);
}

export class Tuning {
  constructor(
    readonly world: World,
    readonly memoryBytes: number,
  ) {}

  apply(): void {
    const tuning = tuningOf(this.world.settings, this.memoryBytes);
    const granted = this.world.engine.tune(tuning);
    if (granted < tuning.windowBytes) this.world.log.say('WINDOW_LIMITED', { wanted: tuning.windowBytes, granted });
  }

  settingsChanged(changed: ReadonlySet<SettingKey>): void {
    if ([...changed].some((key) => KEYS.has(key))) this.apply();
  }

  event({ held, bytes }: Extract<EngineEvent, { kind: 'mirror_memory' }>): void {
    const { log, settings } = this.world;
    if (held) log.say('MIRROR_MEMORY_HIGH', { bytes, percent: settings['target.mirror_high_percent'] });
    else log.say('MIRROR_MEMORY_LOW', { bytes, percent: settings['target.mirror_low_percent'] });
  }
}
