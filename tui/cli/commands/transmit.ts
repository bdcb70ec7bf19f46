/** `understudy transmit` and `compression`: when, how fast and how packed data is sent (SPEC J). */
import { Argument, type Command, Option } from 'commander';
import {
  LIMIT_TYPE,
  type LimitType,
  TransmitClear,
  type TransmitPatch,
  TransmitPause,
  TransmitResume,
  TransmitSet,
  TransmitShow,
  TransmitStart,
  type TransmitState,
  TransmitStop,
} from '../../../protocol/messages/index.js';
import { formatBytes, formatWallTime, parseBytes } from '../../../protocol/units.js';
import { collect, type Run, run, usage, wholeNumber } from '../command.js';
import { properties } from '../print.js';
import {
  readBandwidth,
  readLocal,
  readRow,
  readSpan,
  readTimes,
  showKbps,
  showRow,
  showSpan,
} from '../transmit-values.js';

const COMPRESSION = ['off', 'minimum', 'medium', 'maximum'] as const;
const ID = 'connection ID, or SERVER:ID';

interface LimitFlags {
  bandwidth?: string;
  percent?: number;
  of?: string;
  none?: boolean;
  row?: string[];
  noTable?: boolean;
  off?: boolean;
}

/** TRN-30: what is typed, as kilobits per second. */
export function limitPatch(flags: LimitFlags): TransmitPatch {
  const chosen = [flags.bandwidth, flags.percent, flags.none].filter((each) => each !== undefined).length;
  if (chosen > 1) throw usage('Give only one of --bandwidth, --percent and --none.');
  if ((flags.percent === undefined) !== (flags.of === undefined))
    throw usage('--percent and --of belong together: --percent 50 --of 100mbit.');
  if (flags.row && flags.noTable) throw usage('--row gives a new table and --no-table takes it away; give one.');
  if (chosen === 0 && !flags.row && !flags.noTable)
    throw usage('Give --bandwidth 10mbit, --percent 50 --of 100mbit, --none, or --row "mon-fri 08:00-18:00 1mbit".');
  const kbps = flags.none
    ? null
    : flags.bandwidth !== undefined
      ? readBandwidth(flags.bandwidth)
      : flags.percent !== undefined && flags.of !== undefined
        ? Math.floor((readBandwidth(flags.of) * flags.percent) / 100)
        : undefined;
  const table = flags.noTable ? [] : flags.row?.map(readRow);
  return {
    bandwidth: { ...(kbps === undefined ? {} : { kbps }), ...(table === undefined ? {} : { table }) },
    // A limit that somebody gives is meant; lifting one needs no switch.
    ...(!flags.off && (typeof kbps === 'number' || (table?.length ?? 0) > 0) ? { limiting: true } : {}),
  };
}

interface ScheduleFlags {
  start?: string;
  interval?: string;
  thresholdPercent?: number;
  thresholdBytes?: string;
  timeLimit?: string;
  byteLimit?: string;
  window?: string;
  off?: boolean;
}

const size = (text: string): number => {
  const bytes = parseBytes(text);
  if (bytes === null || bytes < 1) throw usage(`"${text}" is not a size; write 10MB, 512k or a number of bytes.`);
  return bytes;
};

/** `none` takes a value away. */
const orNone = <T>(text: string, read: (text: string) => T): T | null => (text === 'none' ? null : read(text));

export function schedulePatch(flags: ScheduleFlags, today: Date): TransmitPatch {
  const start: NonNullable<TransmitPatch['start']> = {};
  if (flags.start !== undefined) start.at = orNone(flags.start, (text) => readLocal(text, today));
  if (flags.interval !== undefined) start.interval = orNone(flags.interval, readSpan);
  if (flags.thresholdPercent !== undefined) start.thresholdPercent = flags.thresholdPercent || null;
  if (flags.thresholdBytes !== undefined) start.thresholdBytes = orNone(flags.thresholdBytes, size);
  const stop: NonNullable<TransmitPatch['stop']> = {};
  if (flags.timeLimit !== undefined) stop.time = orNone(flags.timeLimit, readSpan);
  if (flags.byteLimit !== undefined) stop.bytes = orNone(flags.byteLimit, size);
  const window =
    flags.window === undefined
      ? undefined
      : flags.window === 'none'
        ? { enabled: false }
        : { enabled: true, open: readTimes(flags.window).from, close: readTimes(flags.window).to };
  const patch: TransmitPatch = {
    ...(Object.keys(start).length > 0 ? { start } : {}),
    ...(Object.keys(stop).length > 0 ? { stop } : {}),
    ...(window ? { window } : {}),
  };
  if (Object.keys(patch).length === 0)
    throw usage(
      'Give at least one of --start, --interval, --threshold-percent, --threshold-bytes, --time-limit, --byte-limit and --window.',
    );
  return flags.off ? patch : { ...patch, limiting: true };
}

export function showState(state: TransmitState): string {
  const { start, stop, window, bandwidth, limiting, compression } = state.settings;
  const none = 'none';
  const shown = state.shown ? ` (${state.shown.percent} % of ${showKbps(state.shown.kbps)}, ${state.shown.link})` : '';
  return properties([
    ['Target IP', state.address],
    ['Connections', state.connections.join(', ')],
    ['Transmit Mode', state.transmitMode],
    ['Commit Mode', state.commitMode],
    ['Enable Transmission Limiting', limiting ? 'on' : 'off'],
    ['Transmission session start', start.at?.replace('T', ' ') ?? none],
    ['Session Interval', start.interval ? showSpan(start.interval) : none],
    ['Queue Threshold (percentage)', start.thresholdPercent === null ? none : `${start.thresholdPercent} %`],
    ['Queue Threshold (bytes)', start.thresholdBytes === null ? none : formatBytes(start.thresholdBytes)],
    ['Time Limit', stop.time ? showSpan(stop.time) : none],
    ['Byte Limit', stop.bytes === null ? none : formatBytes(stop.bytes)],
    [
      'Transmission Window',
      window.enabled ? `${window.open} to ${window.close}${state.windowOpen ? ', open' : ', closed'}` : 'off',
    ],
    ['Limit Bandwidth', bandwidth.kbps === null ? 'off' : `${showKbps(bandwidth.kbps)}${shown}`],
    ...bandwidth.table.map((row, at): [string, string] => [at === 0 ? 'Bandwidth table' : '', showRow(row)]),
    [
      'Limit now',
      state.bytesPerSecond === 0 ? none : `${showKbps(state.bytesPerSecond / 125)}, ${state.bytesPerSecond} bytes/s`,
    ],
    ['Compression', COMPRESSION[compression] ?? 'off'],
    [
      'Session',
      state.session
        ? `since ${formatWallTime(state.session.since)} (${state.session.cause}), ${formatBytes(state.session.bytes)} sent`
        : none,
    ],
    ['Next session start', state.nextStart === null ? none : formatWallTime(state.nextStart)],
    ['Queued', `${formatBytes(state.queueBytes)}, ${state.queuePercent} % of the fullest queue`],
    ...state.notes.map((note): [string, string] => ['Note', note]),
  ]);
}

async function apply({ links, out }: Run, text: string, patch: TransmitPatch): Promise<void> {
  const { server, client, item } = await links.connection(text);
  const state = await client.request(TransmitSet, { id: item.id, patch });
  out.show(() => showState(state), { server: server.name, ...state });
}

export function addTransmitCommands(program: Command): void {
  const transmit = program
    .command('transmit')
    .description('when and how fast data is sent; shared by all connections to a target address');
  for (const [verb, why, method, done] of [
    ['start', 'ends a stop; while scheduled, begins a session now (TRN-02)', TransmitStart, 'transmission started'],
    ['pause', 'the link stays, data is queued (CON-04)', TransmitPause, 'transmission paused'],
    ['resume', 'sends what was queued', TransmitResume, 'transmission resumed'],
    ['stop', 'closes the link, data is queued (CON-03)', TransmitStop, 'transmission stopped'],
  ] as const) {
    transmit
      .command(verb)
      .description(why)
      .argument('<id>', ID)
      .action(
        run(async ({ links, out }, id: string) => {
          const { server, client, item } = await links.connection(id);
          await client.request(method, { id: item.id });
          out.show(`${server.name}:${item.id} ${done}\n`, { server: server.name, id: item.id, done });
        }),
      );
  }
  transmit
    .command('show')
    .description('settings and state')
    .argument('<id>', ID)
    .action(
      run(async ({ links, out }, text: string) => {
        const { server, client, item } = await links.connection(text);
        const state = await client.request(TransmitShow, { id: item.id });
        out.show(() => showState(state), { server: server.name, ...state });
      }),
    );
  transmit
    .command('limit')
    .description('limits bandwidth, at all times or by weekday and hour (TRN-30..35)')
    .argument('<id>', ID)
    .option('--bandwidth <rate>', 'such as 64kbit, 10mbit, 3500B/s')
    .option('--percent <percent>', 'of the capacity given by --of', wholeNumber(1, 100))
    .option('--of <rate>', 'capacity of the line, such as 100mbit')
    .option('--none', 'no limit besides the table')
    .option(
      '--row <row>',
      'row of the table, such as "mon-fri 08:00-18:00 1mbit"; may be repeated, the first that fits counts',
      collect,
    )
    .option('--no-table', 'takes the table away')
    .option('--off', 'only stores it; does not switch limiting on')
    .action(
      run((all: Run, text: string, flags: LimitFlags & { table?: boolean }) =>
        apply(all, text, limitPatch({ ...flags, noTable: flags.table === false })),
      ),
    );
  transmit
    .command('schedule')
    .description(
      'when sessions begin and end (TRN-10..22); times are those of the source server, "none" takes a value away',
    )
    .argument('<id>', ID)
    .option('--start <time>', 'session start, such as "2026-11-25 22:00" or 22:00 today')
    .option('--interval <span>', 'session interval, such as 30m, 2h, 1d')
    .option('--threshold-percent <percent>', 'starts when a queue is as full; 0 takes it away', wholeNumber(0, 100))
    .option('--threshold-bytes <size>', 'starts when as much is queued, such as 10MB')
    .option('--time-limit <span>', 'longest session')
    .option('--byte-limit <size>', 'most bytes in a session')
    .option('--window <times>', 'nothing is sent outside, such as 21:00-04:00 or 9pm-4am')
    .option('--off', 'only stores it; does not switch limiting on')
    .action(run((all: Run, text: string, flags: ScheduleFlags) => apply(all, text, schedulePatch(flags, new Date()))));
  transmit
    .command('clear')
    .description('removes limits (TRN-05)')
    .argument('<id>', ID)
    .addOption(new Option('--type <type>', 'only those of this type').choices(LIMIT_TYPE))
    .action(
      run(async ({ links, out }, text: string, flags: { type?: LimitType }) => {
        const { server, client, item } = await links.connection(text);
        const state = await client.request(TransmitClear, { id: item.id, ...(flags.type ? { type: flags.type } : {}) });
        out.show(() => showState(state), { server: server.name, ...state });
      }),
    );
  for (const [verb, limiting] of [
    ['enable', true],
    ['disable', false],
  ] as const)
    transmit
      .command(verb)
      .description(`switches all limits ${limiting ? 'on' : 'off; they are kept'} (TRN-04)`)
      .argument('<id>', ID)
      .action(run((all: Run, text: string) => apply(all, text, { limiting })));

  program
    .command('compression')
    .description(
      'how data is packed before it is sent; consider it while data queues and the processor has time (TRN-43)',
    )
    .argument('<id>', ID)
    .addArgument(new Argument('<level>', 'off, or one of three levels').choices(COMPRESSION))
    .action(
      run((all: Run, text: string, level: (typeof COMPRESSION)[number]) =>
        apply(all, text, { compression: COMPRESSION.indexOf(level) }),
      ),
    );
}
