/** Bounds of every queue, frame, list and retry of the control plane (DESIGN I8). Reaching one is an event or an error. */

/** Payload of one control frame. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;
/** The opening, before anything is known about the other side. */
export const OPENING_BYTES_MAX = 64 * 1024;
/** Nesting of one control message. */
export const CBOR_DEPTH_MAX = 24;
/** Bytes waiting in one control link's socket before its subscriptions are ended as too slow. */
export const LINK_BACKLOG_BYTES_MAX = 4 * 1024 * 1024;
/** Control links one agent serves at once. */
export const LINK_COUNT_MAX = 256;
/** Of these, links of callers without access. */
export const LINK_STRANGERS_MAX = 32;
/** Requests and subscriptions one control link may have open. */
export const LINK_REQUESTS_MAX = 256;
/** Time for a control link to say its opening. */
export const OPENING_MS_MAX = 10_000;

export const SET_COUNT_MAX = 1_000;
export const RULE_COUNT_MAX = 1_000;
/** SET-08. */
export const RULE_PATH_LENGTH_MAX = 259;
export const SET_NAME_LENGTH_MAX = 128;
export const CONNECTION_COUNT_MAX = 1_000;
export const GRANT_COUNT_MAX = 10_000;
export const PEER_COUNT_MAX = 10_000;
export const MAPPING_COUNT_MAX = 1_000;
/** Servers a change may have travelled through before it reaches this one (TOP-05, TOP-08). */
export const ORIGIN_COUNT_MAX = 4_096;
/** CAP-10. */
export const PATH_LENGTH_MAX = 4_094;
/** Barriers that wait on one connection. */
export const BARRIER_COUNT_MAX = 1_000;
/** Paths listed by one verification; the rest is counted as omitted. */
export const VERIFY_PATHS_MAX = 1_000;
/** Refused paths in one answer; the next page begins behind the last of them. */
export const QUARANTINE_PAGE_MAX = 1_000;
/** Questions about them that wait for the engine. */
export const QUARANTINE_WAITING_MAX = 64;

/** Words of a task command, and the length of one. */
export const TASK_ARGUMENTS_MAX = 256;
export const TASK_ARGUMENT_LENGTH_MAX = 4_096;
export const TASK_MS_MAX = 86_400_000;
/** Of what a task writes, half from its begin and half from its end. */
export const TASK_OUTPUT_BYTES_MAX = 16_384;
/** Tasks that wait for their place in the stream of one connection. */
export const TASK_WAITING_MAX = 64;
/** Direct tasks that run at once (REP-22). */
export const TASK_DIRECT_MAX = 8;
/** Ended tasks that are remembered. */
export const TASK_KEPT_MAX = 100;
export const TASK_LIST_MAX = 12_000;

export const BOOKMARK_NAME_LENGTH_MAX = 128;
/** A file system that stands still for longer is an outage. */
export const BOOKMARK_FREEZE_MS_MAX = 60_000;
export const BOOKMARK_LIST_MAX = 20_000;

/** A week of minutes of a simulated connection (CON-41). */
export const RATE_MINUTES_MAX = 10_080;
export const BANDWIDTH_COUNT_MAX = 32;

/** RCN-31: lines kept in memory for message windows. */
export const LOG_LINES_MAX = 1_000;
/** A wall clock that was put forward or back by this is told: nobody looks for less between two messages. */
export const CLOCK_STEP_MS = 1_000;
/** Repeats of one message within this time are counted instead of written again. */
export const LOG_REPEAT_MS = 10_000;
/** Different messages whose repeats are counted at once. */
export const LOG_REPEAT_COUNT_MAX = 256;

/** First and longest wait before the data link is tried again; doubled in between. */
export const LINK_RETRY_MS_MIN = 250;
export const LINK_RETRY_MS_MAX = 15_000;
/** A link that was refused is tried again this seldom, in case the target's administrator has put it right. */
export const LINK_REFUSED_RETRY_MS = 30_000;
/** Waits for a source whose directory is missing. */
export const SOURCE_RETRY_MS_MIN = 1_000;
export const SOURCE_RETRY_MS_MAX = 30_000;

/** I3: a target that said nothing for this long is not known to be good, at the default of heartbeat.interval_s. */
export const HEARTBEAT_FRESH_MS = 10_000;
/** A linked connection is looked at this often for a stall. */
export const STALL_LOOK_MS = 5_000;
/** Bytes on the wire between two looks that count as movement: more than heartbeats, less than the slowest rate (TRN-32). */
export const STALL_WIRE_BYTES_MIN = 4_096;
/** I3: recovery-point latency up to which a live connection counts as caught up. */
export const CAUGHT_UP_MS = 10_000;
/** Period of statistics while somebody looks or a connection is busy. */
export const STATISTICS_MS = 1_000;

/** LOG-24, LOG-23. */
export const MAIL_RECIPIENTS_MAX = 256;
export const MAIL_ADDRESS_LENGTH_MAX = 256;
/** LOG-25. */
export const MAIL_SUBJECT_LENGTH_MAX = 150;
/** LOG-28. */
export const MAIL_TEST_LENGTH_MAX = 1_024;
/** Messages that wait to be mailed; later ones are counted only. */
export const MAIL_QUEUE_MAX = 100;
/** Waits between tries of a mail that could not be sent, and how old a message may become while it is tried. */
export const MAIL_RETRY_MS_MIN = 15_000;
export const MAIL_RETRY_MS_MAX = 300_000;
export const MAIL_AGE_MS_MAX = 86_400_000;
/** Traps that wait to be sent; later ones are dropped. */
export const TRAP_QUEUE_MAX = 256;
/** Settings changed by one call, and the longest value of one. */
export const SETTING_CHANGES_MAX = 200;
export const SETTING_LENGTH_MAX = 66_048;
/** Records of the statistics file that one call may fetch. */
export const STATISTICS_RECORDS_MAX = 5_000;

/** TRN-32: 3500 bytes per second. */
export const TRANSMIT_KBPS_MIN = 28;
export const TRANSMIT_KBPS_MAX = 1_000_000_000;
/** TRN-16: room for the largest batch, so that every session moves something. */
export const TRANSMIT_BYTE_LIMIT_MIN = 4 * 1024 * 1024;
/** TRN-34. */
export const BANDWIDTH_ROWS_MAX = 64;
/** TRN-06: the schedule is checked this often. */
export const TRANSMIT_TICK_MS = 1_000;
