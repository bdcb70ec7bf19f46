/** What a request may be answered with when it is not done. Numbers 1000 to 1999. */
import { define } from './define.js';

export const REQUESTS = {
  NOT_UNDERSTUDY: define<{ address: string; shown: string }>({
    id: 1000, severity: 'error', retry: 'after_fix', exit: 3,
    message: (p) => `${p.address} is not an Understudy agent: ${p.shown}.`,
    remedy: () => 'Check the socket path of the server address; it must be the control socket of understudyd.',
  }),
  UNREACHABLE: define<{ address: string; reason: string }>({
    id: 1001, severity: 'error', retry: 'backoff', exit: 3,
    message: (p) => `The agent at ${p.address} cannot be reached: ${p.reason}.`,
    remedy: () => 'Check that understudyd runs there and that you may open its socket.',
  }),
  LINK_LOST: define<{ address: string }>({
    id: 1002, severity: 'error', retry: 'backoff', exit: 3,
    message: (p) => `The link to ${p.address} ended before the answer came; the request may or may not have been carried out.`,
    remedy: () => 'Look at the state with `understudy status`, then repeat if needed.',
  }),
  VERSION_MISMATCH: define<{ address: string; mine: string; theirs: string }>({
    id: 1003, severity: 'error', retry: 'after_fix', exit: 3,
    message: (p) => `${p.address} speaks protocol ${p.theirs}, this program speaks ${p.mine}.`,
    remedy: () => 'Upgrade the older side; neighbouring releases work together.',
  }),
  ACCESS_DENIED: define<{ user: string; action: string; need: string; group: string }>({
    id: 1004, severity: 'warning', retry: 'after_fix', exit: 4,
    message: (p) => `User ${p.user} may not ${p.action}: it needs ${p.need} access.`,
    remedy: (p) => `An administrator of that server can add the user to the group ${p.group}; then log in again.`,
  }),
  UNKNOWN_METHOD: define<{ method: string }>({
    id: 1005, severity: 'error', retry: 'after_fix', exit: 1,
    message: (p) => `The agent does not know ${p.method}.`,
    remedy: () => 'It is probably an older release; upgrade it.',
  }),
  BAD_REQUEST: define<{ method: string; problem: string }>({
    id: 1006, severity: 'error', exit: 2,
    message: (p) => `${p.method} was called with something it does not take: ${p.problem}.`,
    remedy: () => 'Correct the call.',
  }),
  BAD_ANSWER: define<{ method: string; problem: string }>({
    id: 1007, severity: 'error', exit: 1,
    message: (p) => `The answer to ${p.method} is not what was agreed: ${p.problem}.`,
    remedy: () => 'The two releases do not fit together; upgrade the older one.',
  }),
  TOO_MANY: define<{ what: string; limit: number }>({
    id: 1008, severity: 'warning', retry: 'backoff', exit: 75,
    message: (p) => `The limit of ${p.limit} ${p.what} is reached.`,
    remedy: () => 'Close or remove some, then try again.',
  }),
  SUBSCRIPTION_SLOW: define<{ topic: string }>({
    id: 1009, severity: 'warning', retry: 'backoff', exit: 75,
    message: (p) => `The subscription to ${p.topic} was ended because its reader was too slow.`,
    remedy: () => 'Subscribe again; the current state comes first.',
  }),
  CANCELLED: define({
    id: 1010, severity: 'information', exit: 1,
    message: () => 'The request was cancelled.',
  }),
  TIMED_OUT: define<{ what: string; ms: number }>({
    id: 1011, severity: 'warning', retry: 'backoff', exit: 75,
    message: (p) => `${p.what} did not finish within ${p.ms} ms.`,
    remedy: () => 'It may still be under way; look at the status, or allow more time.',
  }),
  INTERNAL: define<{ detail: string }>({
    id: 1012, severity: 'error', exit: 1,
    message: (p) => `The agent failed in a way nobody foresaw: ${p.detail}.`,
    remedy: () => 'Please report it with the log of that time (`understudy logs`).',
  }),
  REFUSED_BY_SYSTEM: define<{ what: string }>({
    id: 1013, severity: 'error', retry: 'after_fix', exit: 1,
    message: (p) => `The operating system refused ${p.what}.`,
    remedy: () => 'The cause names the call and the error; correct it and try again.',
  }),

  SET_UNKNOWN: define<{ set: string }>({
    id: 1100, severity: 'error', exit: 1,
    message: (p) => `There is no replication set "${p.set}".`,
    remedy: () => 'List them with `understudy set list`.',
  }),
  SET_NAME_INVALID: define<{ set: string; problem: string }>({
    id: 1101, severity: 'error', exit: 2,
    message: (p) => `"${p.set}" cannot be the name of a replication set: ${p.problem}.`,
    remedy: () => 'Names must not contain . ? < > : " \\ / * | (SET-09).',
  }),
  SET_EXISTS: define<{ set: string }>({
    id: 1102, severity: 'error', exit: 5,
    message: (p) => `There is already a replication set "${p.set}".`,
    remedy: () => 'Choose another name, or edit the existing set.',
  }),
  SET_GENERATION: define<{ set: string; mine: number; theirs: number }>({
    id: 1103, severity: 'error', retry: 'after_fix', exit: 5,
    message: (p) => `"${p.set}" was saved by somebody else meanwhile: it is at generation ${p.theirs}, your edit began at ${p.mine}.`,
    remedy: () => 'Load it again and repeat the edit.',
  }),
  SET_CONNECTED: define<{ set: string; connections: string }>({
    id: 1104, severity: 'error', retry: 'after_fix', exit: 5,
    message: (p) => `"${p.set}" is connected (connection ${p.connections}).`,
    remedy: () => 'Disconnect it first.',
  }),
  RULE_INVALID: define<{ path: string; problem: string }>({
    id: 1105, severity: 'error', exit: 2,
    message: (p) => `The rule "${p.path}" is not possible: ${p.problem}.`,
    remedy: () => 'Rules are absolute paths; * and ? are allowed in the last part only.',
  }),
  SET_EMPTY: define<{ set: string }>({
    id: 1106, severity: 'error', exit: 2,
    message: (p) => `"${p.set}" includes nothing.`,
    remedy: () => 'Add at least one include rule.',
  }),
  SET_NOT_STOPPED: define<{ set: string; state: string }>({
    id: 1107, severity: 'warning', exit: 1,
    message: (p) => `"${p.set}" is ${p.state}; there is nothing to continue.`,
  }),
  ROOT_MISSING: define<{ set: string; path: string }>({
    id: 1108, severity: 'error', retry: 'after_fix', exit: 1,
    message: (p) => `${p.path} of the set "${p.set}" is not there.`,
    remedy: () => 'Create or mount it. The agent looks again by itself.',
  }),

  CONNECTION_UNKNOWN: define<{ id: string }>({
    id: 1200, severity: 'error', exit: 1,
    message: (p) => `There is no connection ${p.id}.`,
    remedy: () => 'List them with `understudy status`. IDs begin at 1 again when an agent restarts.',
  }),
  MAPPING_INVALID: define<{ path: string; problem: string }>({
    id: 1201, severity: 'error', exit: 2,
    message: (p) => `${p.path} cannot be mapped: ${p.problem}.`,
    remedy: () => 'Give an absolute target directory for each directory of the set (`--map SOURCE=TARGET`), or use --one-to-one or --all-to-one.',
  }),
  LOOP: define<{ target: string; source: string; server: string }>({
    id: 1202, severity: 'error', exit: 4,
    message: (p) => `Writing to ${p.target} would feed itself: the data comes from ${p.source} of ${p.server}, which holds or lies inside it (TOP-08).`,
    remedy: () => 'Choose a target directory outside every directory the data comes from.',
  }),
  SAME_LOCATION: define<{ target: string; other: string; set: string; server: string }>({
    id: 1203, severity: 'error', exit: 4,
    message: (p) => `${p.target} overlaps ${p.other}, which the set "${p.set}" of ${p.server} already writes (TOP-09).`,
    remedy: () => 'Choose another directory, or disconnect the other set first.',
  }),
  AGENT_DIRECTORY: define<{ target: string; own: string }>({
    id: 1204, severity: 'error', exit: 4,
    message: (p) => `${p.target} holds or lies inside ${p.own}, where the agent keeps its own state.`,
    remedy: () => 'Choose another directory.',
  }),
  CONNECTION_EXISTS: define<{ set: string; target: string; id: number }>({
    id: 1205, severity: 'error', exit: 5,
    message: (p) => `"${p.set}" is already connected to ${p.target} with these directories (connection ${p.id}).`,
    remedy: () => 'Disconnect it first, or start a mirror on it.',
  }),
  NOT_LINKED: define<{ id: number; target: string }>({
    id: 1206, severity: 'error', retry: 'backoff', exit: 75,
    message: (p) => `Connection ${p.id} has no link to ${p.target} at the moment.`,
    remedy: () => 'The agent keeps trying; look at `understudy status` for the reason.',
  }),
  NOT_LISTENING: define<{ server: string }>({
    id: 1207, severity: 'error', retry: 'after_fix', exit: 1,
    message: (p) => `${p.server} does not listen for data.`,
    remedy: () => 'Configure `listen` there and restart its agent.',
  }),
  BARRIER_FAILED: define<{ id: number; why: string }>({
    id: 1208, severity: 'error', retry: 'after_fix', exit: 1,
    message: (p) => `The barrier on connection ${p.id} cannot be reached: ${p.why}.`,
    remedy: () => 'Start what is stopped, mirror if `Mirror Required` is shown, then repeat.',
  }),
  VERIFY_FAILED: define<{ id: number; why: string }>({
    id: 1209, severity: 'error', retry: 'backoff', exit: 1,
    message: (p) => `The verification of connection ${p.id} did not finish: ${p.why}.`,
    remedy: () => 'Repeat it when the connection is up.',
  }),
  NOT_POSSIBLE_NOW: define<{ action: string; id: number; state: string }>({
    id: 1210, severity: 'warning', exit: 1,
    message: (p) => `${p.action} is not possible on connection ${p.id} while it is ${p.state}.`,
  }),

  PEER_UNKNOWN: define<{ key: string }>({
    id: 1300, severity: 'error', retry: 'after_fix', exit: 4,
    message: (p) => `The server with the key ${p.key} is not trusted here.`,
    remedy: () => 'An administrator of this server can trust it: `understudy peer trust`; `understudy connect` does it by itself.',
  }),
  GRANT_UNKNOWN: define<{ connection: string; set: string; server: string }>({
    id: 1301, severity: 'error', retry: 'after_fix', exit: 4,
    message: (p) => `Nothing is granted here to the set "${p.set}" of ${p.server} (connection ${p.connection}).`,
    remedy: () => 'Disconnect it on the source and connect it again.',
  }),
  GRANT_EXISTS: define<{ connection: string }>({
    id: 1302, severity: 'error', exit: 5,
    message: (p) => `The connection ${p.connection} is granted already, with other directories.`,
    remedy: () => 'Disconnect it first.',
  }),
  HELLO_INVALID: define<{ problem: string }>({
    id: 1303, severity: 'error', exit: 1,
    message: (p) => `A data link opened with something unknown: ${p.problem}.`,
    remedy: () => 'The two releases do not fit together; upgrade the older one.',
  }),
  PEER_SELF: define<{ name: string }>({
    id: 1304, severity: 'error', exit: 2,
    message: (p) => `${p.name} is this server itself.`,
    remedy: () => 'A server always trusts itself.',
  }),

  CONFIG_INVALID: define<{ file: string; problem: string }>({
    id: 1400, severity: 'error', retry: 'after_fix', exit: 1,
    message: (p) => `The configuration ${p.file} cannot be used: ${p.problem}.`,
    remedy: () => 'Correct the file; nothing was changed.',
  }),
  STATE_INVALID: define<{ file: string; problem: string }>({
    id: 1401, severity: 'error', retry: 'after_fix', exit: 1,
    message: (p) => `The state file ${p.file} cannot be used: ${p.problem}.`,
    remedy: () => 'It was left as it is. Restore it from a backup, or move it away to begin without it.',
  }),
  AGENT_RUNNING: define<{ socket: string }>({
    id: 1402, severity: 'error', retry: 'after_fix', exit: 5,
    message: (p) => `Another agent answers at ${p.socket}.`,
    remedy: () => 'Stop it first, or choose another socket and state directory.',
  }),
  LISTEN_REFUSED: define<{ address: string }>({
    id: 1403, severity: 'error', retry: 'after_fix', exit: 1,
    message: (p) => `The data link cannot listen at ${p.address}.`,
    remedy: () => 'Another program may use the port: choose one with --listen, or stop that program.',
  }),
  SERVER_UNKNOWN: define<{ name: string; known: string }>({
    id: 1500, severity: 'error', exit: 2,
    message: (p) => `There is no server "${p.name}" in the list${p.known ? ` (known: ${p.known})` : ''}.`,
    remedy: () => 'Add it with `understudy server add NAME ADDRESS`.',
  }),
  SERVER_EXISTS: define<{ name: string }>({
    id: 1501, severity: 'error', exit: 5,
    message: (p) => `There is already a server "${p.name}" in the list.`,
    remedy: () => 'Remove it first or choose another name.',
  }),
  ADDRESS_INVALID: define<{ address: string }>({
    id: 1502, severity: 'error', exit: 2,
    message: (p) => `"${p.address}" is not a server address.`,
    remedy: () => 'Use unix:/path/to/agent.sock or ssh://[user@]host[:port][/path/to/agent.sock].',
  }),
  ID_AMBIGUOUS: define<{ id: number; servers: string }>({
    id: 1503, severity: 'error', exit: 2,
    message: (p) => `Connection ${p.id} exists on several servers: ${p.servers}.`,
    remedy: (p) => `Name the server, such as ${p.servers.split(',')[0] ?? 'SERVER'}:${p.id}.`,
  }),
  USAGE: define<{ problem: string }>({
    id: 1504, severity: 'error', exit: 2,
    message: (p) => p.problem,
    remedy: () => 'See --help.',
  }),
  TREES_DIFFER: define<{ id: number; different: number; missing: number; orphans: number }>({
    id: 1505, severity: 'warning', retry: 'after_fix', exit: 1,
    message: (p) => `Source and target of connection ${p.id} differ: ${p.different} different, ${p.missing} missing, ${p.orphans} only on the target.`,
    remedy: (p) => `Repair with \`understudy mirror start ${p.id} --difference --checksum\`.`,
  }),
} as const;
