/** `understudy logs`. */
import type { Command } from 'commander';
import { noticeRemedy, noticeText } from '../../../protocol/errors.js';
import { LOG_LINES_MAX } from '../../../protocol/limits.js';
import { type LogLine, LogRead, LogTopic } from '../../../protocol/messages/index.js';
import { formatWallTime } from '../../../protocol/units.js';
import { run, untilAborted, wholeNumber } from '../command.js';
import { asCliFailure } from '../links.js';
import { visible } from '../print.js';

const WORD = { information: 'Information', warning: 'Warning', error: 'Error' } as const;

function lineText(line: LogLine): string {
  const { notice } = line;
  const remedy = noticeRemedy(notice);
  const times = line.count > 1 ? ` (${line.count} times)` : '';
  return `${formatWallTime(line.at)} ${WORD[notice.severity].padEnd(11)} ${notice.id} ${visible(noticeText(notice))}${times}\n${remedy ? `    ${visible(remedy)}\n` : ''}`;
}

export function addLogsCommand(program: Command): void {
  program
    .command('logs')
    .description('messages of a server')
    .argument('<server>', 'server')
    .option('-f, --follow', 'go on until ^C')
    .option('-n, --lines <count>', 'begin with this many', wholeNumber(0, LOG_LINES_MAX))
    .action(
      run(async ({ links, out, signal }, server: string, flags: { follow?: boolean; lines?: number }) => {
        const client = await links.client(server);
        const window = flags.lines === undefined ? {} : { last: flags.lines };
        if (!flags.follow) {
          const { lines, omitted } = await client.request(LogRead, window);
          if (omitted > 0) out.tell(`${omitted} older messages are in the log file only`);
          out.show(() => lines.map(lineText).join(''), { server, lines, omitted });
          return 0;
        }
        let code = 0;
        const over = new AbortController();
        const shown = new Map<number, number>();
        const put = (line: LogLine): void => {
          // A repeat is told once more only where every step is wanted.
          if (shown.has(line.sequence) && !out.json) return;
          shown.set(line.sequence, line.count);
          const [oldest] = shown.keys();
          if (shown.size > LOG_LINES_MAX && oldest !== undefined) shown.delete(oldest);
          out.stream(() => lineText(line), { server, line });
        };
        client.subscribe(LogTopic, window, {
          synced: (items) => {
            for (const line of items.values()) put(line);
          },
          put,
          ended: (error) => {
            if (error) {
              out.tell(asCliFailure(error).message);
              code = 3;
            }
            over.abort();
          },
        });
        await untilAborted(AbortSignal.any([signal, over.signal]));
        return code;
      }),
    );
}
