/**
 * What the log tells. Numbers 2000 and above; a problem shown beside a set or connection is one of these, too. One long
 * table on purpose: a console loads each file of it before its first frame.
 */
import { amount, define, many, span, things } from './define.js';
import { QUEUE_EVENTS } from './queue.js';
import { SERVICE_EVENTS } from './services.js';
import { TASK_EVENTS } from './tasks.js';
import { LINK_EVENTS, TRANSMIT_EVENTS } from './transmit.js';

type At = { id: number; set: string; target: string };

type Held = At & { path: string };
const onPath = (path: string): string => (path === '' ? '' : ` (${path})`);
/** By cause of a stall (messages/connection.ts): what it is, and what to do. */
const STALL_WORDS = {
  target_silent: {
    is: (p: Held) => `the agent of ${p.target} does not answer`,
    remedy: (p: Held) =>
      `See whether understudyd on ${p.target} runs and is not stopped, and whether that machine or the way to it hangs; changes are queued here meanwhile.`,
  },
  target_full: {
    is: (p: Held) => `a disk of ${p.target} is full${onPath(p.path)}`,
    remedy: (p: Held) => `Free space on ${p.target}; it goes on by itself, and nothing is lost.`,
  },
  target_retrying: {
    is: (p: Held) => `${p.target} tries one operation again and again${onPath(p.path)}`,
    remedy: (p: Held) => `Mend on ${p.target} what the cause names; it goes on by itself, and nothing is lost.`,
  },
  apply_blocked: {
    is: (p: Held) => `${p.target} has received what follows, and its system does not let it write`,
    remedy: (p: Held) =>
      `Look for a file system that hangs or is frozen on ${p.target} (\`dmesg\`, \`fsfreeze --unfreeze\`).`,
  },
  network_blocked: {
    is: (p: Held) => `${p.target} answers, but what is sent does not arrive there`,
    remedy: (p: Held) =>
      `Look for a firewall or a wrong MTU on the way to ${p.target}; \`understudy reconnect ${p.id}\` makes a new link.`,
  },
  source_blocked: {
    is: () => 'changes wait, and this source neither reads nor sends them',
    remedy: () =>
      'Look for a file system of the set that hangs (`dmesg`), such as one on a network; the queue follows by itself.',
  },
} as const;
type StallWord = keyof typeof STALL_WORDS;
/** A newer agent may know more causes. */
const stallWords = (cause: string): { is: (p: Held) => string; remedy: (p: Held) => string } =>
  STALL_WORDS[cause as StallWord] ?? {
    is: () => 'its cause is not known to this release',
    remedy: (p: Held) => `See the log of ${p.target}.`,
  };

export const EVENTS = {
  AGENT_STARTED: define<{ version: string; sets: number; connections: number; listen: string }>({
    id: 2000,
    severity: 'information',
    message: (p) =>
      `Agent ${p.version} started with ${things(p.sets, 'set')} and ${things(p.connections, 'connection')}, listening at ${p.listen}.`,
  }),
  AGENT_STOPPED: define<{ reason: string }>({
    id: 2001,
    severity: 'information',
    message: (p) => `Agent stopped cleanly (${p.reason}); sources are remembered as told.`,
  }),
  AGENT_CRASHED: define<{ detail: string }>({
    id: 2002,
    severity: 'error',
    message: (p) => `Agent stops because of an error nobody foresaw: ${p.detail}.`,
    remedy: () => 'Start it again: connections come back and repair themselves. Please report the error.',
  }),
  IDENTITY_CREATED: define<{ key: string }>({
    id: 2003,
    severity: 'information',
    message: (p) => `A new identity was made; public key ${p.key}.`,
  }),
  AUDIT: define<{ user: string; method: string; subject: string }>({
    id: 2004,
    severity: 'information',
    message: (p) => `${p.user} called ${p.method}${p.subject ? ` (${p.subject})` : ''}.`,
  }),
  REPEATED: define<{ count: number; seconds: number; text: string }>({
    id: 2005,
    severity: 'information',
    message: (p) => `${p.count} more times within ${p.seconds} s: ${p.text}`,
  }),
  STATE_NOT_SAVED: define<{ file: string }>({
    id: 2006,
    severity: 'error',
    retry: 'backoff',
    message: (p) => `State could not be written to ${p.file}; the old state is still there.`,
    remedy: () => 'Free space or repair the file system; the next change writes it again.',
  }),
  LOG_NOT_WRITTEN: define<{ folder: string }>({
    id: 2007,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `The log file in ${p.folder} cannot be written; messages are kept in memory and on standard error.`,
    remedy: () => 'Free space or correct the permissions, then restart the agent.',
  }),

  CLOCK_SET: define<{ back: boolean; ms: number }>({
    id: 2008,
    severity: 'warning',
    message: (p) =>
      p.back
        ? `The clock of this server was put back by ${span(p.ms)}; later messages may carry earlier times.`
        : `The clock of this server was put forward by ${span(p.ms)}, or the server slept that long.`,
    remedy: () =>
      'Replication does not depend on it; schedules and time stamps follow the new time. If nobody set it, see to its time service (`timedatectl`).',
  }),

  SET_SAVED: define<{ set: string; generation: number }>({
    id: 2100,
    severity: 'information',
    message: (p) => `Set "${p.set}" saved as generation ${p.generation}.`,
  }),
  SET_SAVED_CONNECTED: define<{ set: string; generation: number; connections: string }>({
    id: 2101,
    severity: 'warning',
    message: (p) =>
      `Set "${p.set}" saved as generation ${p.generation}, but connection ${p.connections} still runs with the older one.`,
    remedy: () => 'Disconnect, reconnect and run a difference mirror (SET-16).',
  }),
  SET_DELETED: define<{ set: string }>({
    id: 2102,
    severity: 'information',
    message: (p) => `Set "${p.set}" deleted.`,
  }),
  SOURCE_OPENING: define<{ set: string; roots: string }>({
    id: 2110,
    severity: 'information',
    message: (p) => `Set "${p.set}": looking at ${p.roots}.`,
  }),
  SOURCE_READY: define<{ set: string; capture: string; files: number; bytes: number; ms: number }>({
    id: 2111,
    severity: 'information',
    message: (p) =>
      `Set "${p.set}": changes are captured by ${p.capture}; ${things(p.files, 'file')}, ${amount(p.bytes)}, looked at in ${span(p.ms)}.`,
  }),
  SOURCE_LOST: define<{ set: string; why: string }>({
    id: 2112,
    severity: 'warning',
    retry: 'backoff',
    message: (p) => `Set "${p.set}": change events were lost (${p.why}); everything is compared again by itself.`,
  }),
  SOURCE_DEGRADED: define<{ set: string; why: string; detail: string }>({
    id: 2113,
    severity: 'warning',
    message: (p) => `Set "${p.set}": capture is weaker than wanted: ${p.why}${p.detail ? ` (${p.detail})` : ''}.`,
    remedy: () => '`understudy doctor` names what this machine can do and how to improve it.',
  }),
  SOURCE_ROOT_CHANGED: define<{ set: string; server: string; detail: string }>({
    id: 2114,
    severity: 'error',
    retry: 'after_fix',
    message: (p) =>
      `Set "${p.set}" is stopped: its directory is not the one it was (${p.detail}). Nothing is deleted on any target.`,
    remedy: (p) =>
      `Mount or restore the directory, then \`understudy set continue ${p.server}:${p.set}\`. If the new directory is right and its contents shall replace the replica: \`understudy set continue ${p.server}:${p.set} --accept-deletes\`.`,
  }),
  SOURCE_MASS_DELETE: define<{ set: string; server: string; deleted: number; total: number; detail: string }>({
    id: 2115,
    severity: 'error',
    retry: 'after_fix',
    message: (p) =>
      `Set "${p.set}" is stopped: ${p.deleted} of ${p.total} files disappeared at once${p.detail ? ` (${p.detail})` : ''}. Nothing is deleted on any target.`,
    remedy: (p) =>
      `If they were meant to go: \`understudy set continue ${p.server}:${p.set} --accept-deletes\`. If not, restore them, then \`understudy set continue ${p.server}:${p.set}\`.`,
  }),
  SOURCE_CONTINUES: define<{ set: string }>({
    id: 2116,
    severity: 'information',
    message: (p) => `Set "${p.set}" continues.`,
  }),
  SOURCE_MISSING: define<{ set: string; path: string }>({
    id: 2117,
    severity: 'error',
    retry: 'backoff',
    message: (p) => `Set "${p.set}": ${p.path} is not there or not a directory; the replica is left as it is.`,
    remedy: () => 'Create or mount it. The agent looks again by itself.',
  }),
  SOURCE_FAILED: define<{ set: string; detail: string }>({
    id: 2118,
    severity: 'error',
    retry: 'backoff',
    message: (p) => `Set "${p.set}" cannot be captured: ${p.detail}.`,
    remedy: () =>
      'The cause names the call and the error; `understudy doctor` knows the usual ones. The agent tries again by itself.',
  }),
  PATH_SKIPPED: define<{ set: string; path: string; count: number }>({
    id: 2119,
    severity: 'warning',
    retry: 'backoff',
    message: (p) =>
      `Set "${p.set}": ${p.path}${p.count > 1 ? ` and ${p.count - 1} more` : ''} could not be read and is not replicated.`,
    remedy: () =>
      'The cause names the call and the error. Correct the permissions, or exclude the path; it is tried again when it changes.',
  }),
  MOUNT_INSIDE: define<{ set: string; path: string }>({
    id: 2120,
    severity: 'warning',
    message: (p) => `Set "${p.set}": something is mounted at ${p.path}; what lies there is not replicated.`,
    remedy: () =>
      'To replicate it, add the mounted directory to the set by a mapping of its own. An exclude rule for the path says that this is meant.',
  }),

  CONNECTION_CREATED: define<At & { route: string }>({
    id: 2200,
    severity: 'information',
    message: (p) => `Connection ${p.id}: set "${p.set}" connected to ${p.target} at ${p.route}.`,
  }),
  CONNECTION_REMOVED: define<At & { dropped: number }>({
    id: 2201,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: set "${p.set}" disconnected from ${p.target}${p.dropped === 0 ? '' : `; ${amount(p.dropped)} that waited for it were dropped`}.`,
  }),
  CONNECTION_RESTORED: define<At>({
    id: 2202,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: set "${p.set}" to ${p.target} taken up again after the start of the agent (MIR-31).`,
  }),
  CONNECTION_LEFT: define<At>({
    id: 2203,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) =>
      `Connection ${p.id}: set "${p.set}" to ${p.target} was not taken up, because source.reconnect is off (SRV-23).`,
    remedy: (p) => `\`understudy reconnect ${p.id}\`.`,
  }),
  LINK_UP: define<At & { resumed: boolean }>({
    id: 2210,
    severity: 'information',
    message: (p) => `Connection ${p.id}: linked to ${p.target}${p.resumed ? ', the stream goes on where it was' : ''}.`,
  }),
  LINK_DOWN: define<At>({
    id: 2211,
    severity: 'warning',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: the link to ${p.target} is down; changes are queued and the link is tried again by itself.`,
  }),
  LINK_UNREACHABLE: define<At & { route: string }>({
    id: 2212,
    severity: 'error',
    retry: 'backoff',
    message: (p) => `Connection ${p.id}: ${p.target} cannot be reached at ${p.route}; it is tried again by itself.`,
    remedy: () => 'Check that its agent runs and that the port is open between the two servers.',
  }),
  LINK_WRONG_KEY: define<At & { route: string }>({
    id: 2213,
    severity: 'error',
    retry: 'after_fix',
    message: (p) =>
      `Connection ${p.id}: who answers at ${p.route} does not hold the key of ${p.target}; no data was sent.`,
    remedy: (p) => `Find out who answers there. If ${p.target} was installed anew, disconnect and connect again.`,
  }),
  LINK_REFUSED: define<At & { reason: string; advice: string }>({
    id: 2214,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `Connection ${p.id}: ${p.target} refused: ${p.reason}`,
    remedy: (p) => p.advice,
  }),
  STREAM_BROKEN: define<At & { why: string }>({
    id: 2216,
    severity: 'warning',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: the stream to ${p.target} cannot go on where it was (${p.why}); a mirror is required.`,
  }),
  AUTO_REMIRROR: define<At & { kind: string }>({
    id: 2217,
    severity: 'information',
    message: (p) => `Connection ${p.id}: mirroring again by itself: ${p.kind} (MIR-32).`,
  }),
  MIRROR_REQUIRED: define<At>({
    id: 2218,
    severity: 'error',
    retry: 'after_fix',
    message: (p) => `Connection ${p.id}: the replica on ${p.target} is not complete; a mirror is required.`,
    remedy: (p) => `\`understudy mirror start ${p.id} --difference --checksum\`.`,
  }),
  MIRROR_STARTED: define<At & { kind: string }>({
    id: 2220,
    severity: 'information',
    message: (p) => `Connection ${p.id}: mirror started: ${p.kind}.`,
  }),
  MIRROR_DONE: define<At & { files: number; sentBytes: number; skippedBytes: number; orphans: number; ms: number }>({
    id: 2221,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: mirror finished: ${things(p.files, 'file')} in ${span(p.ms)}, ${amount(p.sentBytes)} sent, ${amount(p.skippedBytes)} equal, ${things(p.orphans, 'orphan')}.`,
  }),
  MIRROR_STOPPED: define<At & { why: string }>({
    id: 2222,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `Connection ${p.id}: mirror stopped (${p.why}); the replica is not complete.`,
    remedy: (p) => `\`understudy mirror start ${p.id}\` mirrors the whole set again.`,
  }),
  MIRROR_PAUSED: define<At>({
    id: 2223,
    severity: 'information',
    message: (p) => `Connection ${p.id}: mirror paused; the position is kept.`,
  }),
  MIRROR_RESUMED: define<At>({
    id: 2224,
    severity: 'information',
    message: (p) => `Connection ${p.id}: mirror resumed.`,
  }),
  REPLICATION_STARTED: define<At>({
    id: 2225,
    severity: 'information',
    message: (p) => `Connection ${p.id}: replication started.`,
  }),
  REPLICATION_STOPPED: define<At>({
    id: 2226,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `Connection ${p.id}: replication stopped; changes are not queued (REP-01).`,
    remedy: (p) => `\`understudy replication start ${p.id}\`; a difference mirror follows.`,
  }),
  TRANSMIT_PAUSED: define<At>({
    id: 2227,
    severity: 'information',
    message: (p) => `Connection ${p.id}: transmission paused; data is queued.`,
  }),
  TRANSMIT_RESUMED: define<At>({
    id: 2228,
    severity: 'information',
    message: (p) => `Connection ${p.id}: transmission resumed.`,
  }),
  QUARANTINED: define<At & { path: string; count: number }>({
    id: 2229,
    severity: 'error',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: ${p.target} could not write ${p.path}${p.count > 1 ? ` and ${p.count - 1} more` : ''}; it is tried again, everything else goes on.`,
    remedy: (p) =>
      `The cause names the call and the error on the target; \`understudy quarantine ${p.id}\` lists all, \`understudy quarantine retry ${p.id}\` tries them now.`,
  }),
  PATHS_REFUSED: define<At & { count: number }>({
    id: 2241,
    severity: 'error',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: ${p.target} does not hold ${p.count === 1 ? 'one path' : `${p.count} paths`} that it could not write; everything else goes on.`,
    remedy: (p) =>
      `\`understudy quarantine ${p.id}\` names path, call and error. Each is tried again with growing pauses; \`understudy quarantine retry ${p.id}\` does it now.`,
  }),
  QUARANTINE_EMPTY: define<At>({
    id: 2242,
    severity: 'information',
    message: (p) => `Connection ${p.id}: nothing that ${p.target} refused is left; its quarantine is empty.`,
  }),
  NEWER_ONLY: define<At>({
    id: 2230,
    severity: 'warning',
    message: (p) => `Connection ${p.id}: only files newer on the source are mirrored (MIR-10).`,
    remedy: () => 'Databases need every file: use it only when sure.',
  }),
  VERIFY_DONE: define<At & { files: number; different: number; missing: number; orphans: number; ms: number }>({
    id: 2231,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: verified ${things(p.files, 'file')} in ${span(p.ms)}: ${many(p.different)} different, ${many(p.missing)} missing, ${many(p.orphans)} only on the target.`,
  }),
  VERIFY_DIFFERENT: define<At & { files: number; different: number; missing: number; orphans: number; ms: number }>({
    id: 2232,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) =>
      `Connection ${p.id}: verified ${things(p.files, 'file')} in ${span(p.ms)}: ${many(p.different)} different, ${many(p.missing)} missing, ${many(p.orphans)} only on the target.`,
    remedy: (p) =>
      `What was written meanwhile may be among it (VER-11): verify again, and repair what stays with \`understudy mirror start ${p.id} --difference --checksum\`.`,
  }),

  ATTRIBUTES_ONLY: define<At>({
    id: 2234,
    severity: 'warning',
    message: (p) =>
      `Connection ${p.id}: files with equal date, time and size are taken for equal and not compared (MIR-11).`,
    remedy: () => 'Databases may change a file without changing these: use --checksum or --full for them.',
  }),

  VERIFY_SCHEDULED: define<At & { next: string }>({
    id: 2235,
    severity: 'information',
    message: (p) => `Connection ${p.id}: verifications are scheduled; the next is at ${p.next} (VER-07).`,
  }),
  VERIFY_UNSCHEDULED: define<At>({
    id: 2236,
    severity: 'information',
    message: (p) => `Connection ${p.id}: no verification is scheduled any more.`,
  }),
  VERIFY_DUE: define<At>({
    id: 2237,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: a scheduled verification is due; it begins when the link is up and no mirror runs.`,
  }),
  VERIFY_INTERRUPTED: define<At>({
    id: 2238,
    severity: 'warning',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: the scheduled verification ended without a result; it is made again when it can.`,
  }),
  CONNECTION_STALLED: define<At & { cause: StallWord; seconds: number; path: string }>({
    id: 2245,
    severity: 'warning',
    retry: 'backoff',
    message: (p) =>
      `Connection ${p.id}: the link to ${p.target} is up, but nothing has moved for ${p.seconds} s; ${stallWords(p.cause).is(p)}.`,
    remedy: (p) => stallWords(p.cause).remedy(p),
  }),
  CONNECTION_MOVES: define<At>({
    id: 2246,
    severity: 'information',
    message: (p) => `Connection ${p.id}: ${p.target} applies again; what waited follows by itself.`,
  }),
  VERIFY_LOG_FULL: define<{ file: string; lengthMax: number }>({
    id: 2239,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) =>
      `The verification log ${p.file} has reached ${amount(p.lengthMax)}; nothing more is logged (VER-13).`,
    remedy: () => 'Move it away, raise verify.length, or set verify.append to false so that each run begins a new log.',
  }),
  VERIFY_LOG_NOT_WRITTEN: define<{ file: string }>({
    id: 2240,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `The verification log ${p.file} cannot be written; results are kept by the agent only.`,
    remedy: () => 'Free space or correct the permissions; `understudy verify schedule ID --show` has the last result.',
  }),

  PEER_TRUSTED: define<{ name: string; key: string }>({
    id: 2300,
    severity: 'information',
    message: (p) => `${p.name} with the key ${p.key} is trusted.`,
  }),
  PEER_FORGOTTEN: define<{ name: string; key: string }>({
    id: 2301,
    severity: 'information',
    message: (p) => `${p.name} with the key ${p.key} is not trusted any more.`,
  }),
  GRANT_CREATED: define<{ server: string; set: string; directories: string }>({
    id: 2302,
    severity: 'information',
    message: (p) => `The set "${p.set}" of ${p.server} may write below ${p.directories}.`,
  }),
  GRANT_REMOVED: define<{ server: string; set: string }>({
    id: 2303,
    severity: 'information',
    message: (p) => `The set "${p.set}" of ${p.server} may not write here any more.`,
  }),
  INCOMING_UP: define<{ server: string; set: string; address: string }>({
    id: 2310,
    severity: 'information',
    message: (p) => `${p.server} sends the set "${p.set}" from ${p.address}.`,
  }),
  INCOMING_DOWN: define<{ server: string; set: string; address: string }>({
    id: 2311,
    severity: 'warning',
    retry: 'backoff',
    message: (p) => `${p.server} (${p.address}) does not send the set "${p.set}" any more; what was received is safe.`,
  }),
  INCOMING_REFUSED: define<{ address: string; reason: string; advice: string }>({
    id: 2312,
    severity: 'warning',
    retry: 'backoff',
    message: (p) => `A data link from ${p.address} was refused: ${p.reason}`,
    remedy: (p) => p.advice,
  }),
  TARGET_PAUSED: define<{ connections: number }>({
    id: 2313,
    severity: 'information',
    message: (p) =>
      `This server is paused as a target; ${things(p.connections, 'incoming connection')} ${p.connections === 1 ? 'waits' : 'wait'} (CON-60).`,
  }),
  TARGET_RESUMED: define<{ connections: number }>({
    id: 2314,
    severity: 'information',
    message: (p) => `This server goes on as a target of ${things(p.connections, 'incoming connection')} (CON-61).`,
  }),
  DELETES_IGNORED: define<{ server: string; set: string }>({
    id: 2316,
    severity: 'warning',
    message: (p) => `Set "${p.set}" of ${p.server}: files deleted on the source are kept here from now on (REP-13).`,
    remedy: () => 'Watch the free space; such files are orphans, which `understudy orphans` lists and removes.',
  }),
  DELETES_DONE: define<{ server: string; set: string }>({
    id: 2317,
    severity: 'information',
    message: (p) =>
      `Set "${p.set}" of ${p.server}: files deleted on the source are deleted here again; those kept so far stay as orphans.`,
  }),
  ORPHAN_FOUND: define<{ server: string; set: string; path: string }>({
    id: 2320,
    severity: 'information',
    message: (p) => `Orphan of the set "${p.set}" of ${p.server} found: ${p.path}.`,
  }),
  ORPHAN_MOVED: define<{ server: string; set: string; path: string }>({
    id: 2321,
    severity: 'information',
    message: (p) => `Orphan of the set "${p.set}" of ${p.server} moved: ${p.path}.`,
  }),
  ORPHAN_DELETED: define<{ server: string; set: string; path: string }>({
    id: 2322,
    severity: 'information',
    message: (p) => `Orphan of the set "${p.set}" of ${p.server} deleted: ${p.path}.`,
  }),
  ORPHAN_NOT_REMOVED: define<{ server: string; set: string; path: string }>({
    id: 2323,
    severity: 'warning',
    retry: 'after_fix',
    message: (p) => `Orphan of the set "${p.set}" of ${p.server} stays, because it could not be removed: ${p.path}.`,
    remedy: () => 'The cause names the call and the error; the next removal tries it again.',
  }),
  ORPHANS_DONE: define<{
    server: string;
    set: string;
    word: string;
    files: number;
    directories: number;
    bytes: number;
    kept: number;
    failed: number;
    unlisted: number;
  }>({
    id: 2324,
    severity: 'information',
    message: (p) =>
      `Orphans of the set "${p.set}" of ${p.server}: ${things(p.files, 'file')} and ${things(p.directories, 'directory', 'directories')} with ${amount(p.bytes)} ${p.word}; ${many(p.kept)} kept, ${many(p.failed)} failed, ${many(p.unlisted)} not listed.`,
  }),
  ORPHANS_FOLDER_INSIDE: define<{ folder: string; replica: string }>({
    id: 2325,
    severity: 'error',
    retry: 'after_fix',
    message: (p) =>
      `Orphans are neither moved nor deleted: orphans.folder ${p.folder} lies inside the replica ${p.replica} or around it (MIR-58).`,
    remedy: () => 'Name a folder outside of every replica: `understudy config set SERVER orphans.folder=/...`.',
  }),
  ORPHANS_WILDCARDS: define<At>({
    id: 2326,
    severity: 'warning',
    message: (p) =>
      `Connection ${p.id}: the set has wildcards; names on the target that no include takes in are orphans, excluded ones are kept (MIR-59).`,
    remedy: (p) => `\`understudy orphans preview ${p.id}\` lists them and touches nothing.`,
  }),
  ORPHANS_PREVIEWED: define<At & { orphans: number }>({
    id: 2327,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: ${things(p.orphans, 'orphan')} found on ${p.target}; its log lists them. Nothing was touched.`,
  }),
  ORPHANS_TOLD: define<At & { orphans: number }>({
    id: 2328,
    severity: 'information',
    message: (p) =>
      `Connection ${p.id}: ${things(p.orphans, 'orphan')} told to ${p.target}; its log says what became of them.`,
  }),
  RECEIVER_REPORT: define<{ server: string; set: string; what: string; detail: string }>({
    id: 2315,
    severity: 'warning',
    retry: 'backoff',
    message: (p) => `Set "${p.set}" of ${p.server}: ${p.what}: ${p.detail}.`,
    remedy: () => 'The cause names the call and the error; it is tried again by itself.',
  }),
  ...TASK_EVENTS,
  ...LINK_EVENTS,
  ...QUEUE_EVENTS,
  ...SERVICE_EVENTS,
  ...TRANSMIT_EVENTS,
} as const;
