/** Transmission: what may be sent when, and how fast (SPEC J). Shared by all connections to one target address. */
import {
  bytes,
  count,
  flag,
  type Infer,
  list,
  method,
  nullable,
  oneOf,
  optional,
  struct,
  text,
  wallTime,
  whole,
} from '../schema.js';
import { z } from 'zod';
import {
  BANDWIDTH_ROWS_MAX,
  CONNECTION_COUNT_MAX,
  TRANSMIT_BYTE_LIMIT_MIN,
  TRANSMIT_KBPS_MAX,
  TRANSMIT_KBPS_MIN,
} from '../limits.js';
import { COMMIT_MODE, TRANSMIT_MODE } from './statistics.js';

const id = count('connection ID (CON-01)');

/** TRN-31: the one figure that is stored for a bandwidth. */
const kbps = (why: string) =>
  z
    .number()
    .min(TRANSMIT_KBPS_MIN, `must be at least ${TRANSMIT_KBPS_MIN} kbit/s, which is 3500 bytes a second`)
    .max(TRANSMIT_KBPS_MAX, `must be at most ${TRANSMIT_KBPS_MAX} kbit/s`)
    .describe(`${why} [kbit/s]`);
/** `HH:MM` on the server's own clock; 24:00 is the end of the day. */
const timeOfDay = (why: string) =>
  z
    .string()
    .regex(/^(?:[01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$/, 'must be a time of day such as 21:00')
    .describe(why);
/** Date and time on the server's own clock; the agent checks that there is such a day. */
const localTime = (why: string) =>
  z
    .string()
    .regex(
      /^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?$/,
      'must be a date and time such as 2026-11-25T22:00',
    )
    .describe(why);

export const SPAN_UNIT = ['minutes', 'hours', 'days'] as const;
const span = (why: string) => struct({ every: whole(1, 10_000, 'how many'), unit: oneOf(SPAN_UNIT, 'of what') }, why);
export type Span = Infer<ReturnType<typeof span>>;

export const BandwidthRow = struct({
  days: list(whole(1, 7, '1 Monday to 7 Sunday'), 7, 'days on which it begins'),
  from: timeOfDay('begins'),
  to: timeOfDay('ends, on the next day when not later than it begins'),
  kbps: nullable(kbps('limit then; null: none')),
});
export type BandwidthRow = Infer<typeof BandwidthRow>;

const START = {
  at: nullable(localTime('TRN-10 Transmission session start')),
  interval: nullable(span('TRN-11 Session Interval, counted from the session start')),
  thresholdPercent: nullable(whole(1, 100, 'TRN-12 Queue Threshold (percentage)')),
  thresholdBytes: nullable(whole(1, Number.MAX_SAFE_INTEGER, 'TRN-13 Queue Threshold (bytes)')),
};
const STOP = {
  time: nullable(span('TRN-15 Time Limit')),
  bytes: nullable(
    z
      .number()
      .int()
      .min(
        TRANSMIT_BYTE_LIMIT_MIN,
        `must be at least ${TRANSMIT_BYTE_LIMIT_MIN}, or the largest batch would never be sent`,
      )
      .describe('TRN-16 Byte Limit: as handed to the network with TLS, without the headers of TCP and below'),
  ),
};
const WINDOW = {
  enabled: flag('TRN-19 Enable Transmission Window'),
  open: timeOfDay('TRN-19 Open window time'),
  close: timeOfDay('TRN-19 Close window time, on the next day when not later than it opens'),
};
const BANDWIDTH = {
  kbps: nullable(kbps('TRN-30 limit at all times the table says nothing of; null: none')),
  table: list(BandwidthRow, BANDWIDTH_ROWS_MAX, 'TRN-34 the first row that fits counts'),
};

/** Everything that is set for one target address; times are those of the server's own time zone. */
export const TransmitSettings = struct({
  limiting: flag('TRN-04 Enable Transmission Limiting: without it no limit counts, and all are kept'),
  start: struct(START),
  stop: struct(STOP),
  window: struct(WINDOW),
  bandwidth: struct(BANDWIDTH),
  compression: whole(0, 3, 'TRN-40, TRN-41: 0 off, 1 minimum, 2 medium, 3 maximum'),
});
export type TransmitSettings = Infer<typeof TransmitSettings>;

const some = <S extends z.ZodRawShape>(fields: S) => optional(struct(fields).partial());
/** What is to change; what is left out stays as it is, null takes away. */
export const TransmitPatch = struct({
  limiting: optional(TransmitSettings.shape.limiting),
  start: some(START),
  stop: some(STOP),
  window: some(WINDOW),
  bandwidth: some(BANDWIDTH),
  compression: optional(TransmitSettings.shape.compression),
});
export type TransmitPatch = Infer<typeof TransmitPatch>;

/** TRN-03. */
export const LIMIT_TYPE = ['bandwidth', 'start', 'stop', 'window'] as const;
export type LimitType = (typeof LIMIT_TYPE)[number];

/** Why a session began or ended. */
export const SESSION_START = ['session start', 'queue threshold', 'by hand'] as const;
export type SessionStart = (typeof SESSION_START)[number];

export const TransmitState = struct({
  id,
  address: text(255, 'target address the settings are shared for (TRN-07)'),
  connections: list(count('connection ID'), CONNECTION_COUNT_MAX, 'all that share them'),
  settings: TransmitSettings,
  commitMode: oneOf(COMMIT_MODE, 'STA-07'),
  transmitMode: oneOf(TRANSMIT_MODE, 'STA-08'),
  session: nullable(
    struct({
      since: wallTime('when it began'),
      cause: oneOf(SESSION_START, 'what began it'),
      bytes: bytes('handed to the network in it'),
    }),
  ),
  windowOpen: flag('the transmission window is open, or there is none'),
  nextStart: nullable(wallTime('next session start; null when none is to come')),
  bytesPerSecond: count('limit at this moment; 0: none (TRN-33)'),
  shown: nullable(
    struct({
      percent: whole(1, 100, 'of the capacity'),
      kbps: count('capacity of the smallest usual link that fits [kbit/s]'),
      link: text(64, 'its name'),
    }),
  ),
  queueBytes: bytes('in the queues of these connections'),
  queuePercent: whole(0, 100, 'of the fullest of these queues'),
  notes: list(text(512, 'what may not be meant as it is set'), 16, 'hints'),
});
export type TransmitState = Infer<typeof TransmitState>;

const act = (verb: string, why: string) =>
  method(`transmit.${verb}`, 'administrator', true, struct({ id }), struct({}), why);
export const TransmitStart = act(
  'start',
  'TRN-02: ends a stop; while transmission is scheduled, begins a session now for every connection to this address.',
);
export const TransmitPause = act('pause', 'CON-04: the link stays, data is held in the source queue.');
export const TransmitResume = act('resume', 'TRN-02: ends the pause.');
export const TransmitStop = act('stop', 'CON-03: closes the link; data is held in the source queue.');

export const TransmitShow = method(
  'transmit.show',
  'monitor',
  false,
  struct({ id }),
  TransmitState,
  'TRN-03: settings and state.',
);
export const TransmitSet = method(
  'transmit.set',
  'administrator',
  true,
  struct({ id, patch: TransmitPatch }),
  TransmitState,
  'TRN-03, TRN-30, TRN-40: changes settings of every connection to this address, at once.',
);
export const TransmitClear = method(
  'transmit.clear',
  'administrator',
  true,
  struct({ id, type: optional(oneOf(LIMIT_TYPE, 'only the limits of this type; all when left out')) }),
  TransmitState,
  'TRN-05: Clear and Clear All.',
);
