/** Throughput and latency of the selected connection, or of all that are shown. */
import { formatBytes, formatMillis } from '../../../protocol/units.js';
import type { App } from '../../model/app.js';
import { isStale } from '../../model/fleet.js';
import { currentRate, series } from '../../model/history.js';
import type { ChartSpot, Grid, Rect, Run } from '../../layout/grid.js';
import { run } from '../../layout/grid.js';
import { glyphsFor } from '../../layout/glyphs.js';
import type { Role } from '../../layout/roles.js';
import { cut, width } from '../../layout/text.js';
import { selectedConnection, shown } from './tables.js';

/** Below this a line chart with axes says less than plain bars. */
export const WIDGET_HEIGHT_MIN = 9;
export const WIDGET_WIDTH_MIN = 30;

interface Data {
  readonly title: string;
  /** Null: there is no connection that could have any. */
  readonly rates: readonly number[] | null;
  readonly latencies: readonly number[] | null;
  readonly rateNow: number;
  /** -1: not known. */
  readonly latencyNow: number;
  readonly stale: boolean;
}

function data(app: App, count: number): Data {
  const chosen = selectedConnection(app);
  if (chosen) {
    const history = chosen.server.histories.get(chosen.item.key);
    return {
      title: `${chosen.item.set} ${chosen.server.name}:${chosen.item.id}`,
      rates: history ? series(history, count, app.now, 'rate') : [],
      latencies: history ? series(history, count, app.now, 'latencyMs') : [],
      rateNow: history ? currentRate(history, app.now) : 0,
      latencyNow: chosen.item.latencyMs,
      stale: isStale(chosen.server),
    };
  }
  const rates = new Array<number>(count).fill(0);
  let rateNow = 0;
  let any = false;
  for (const row of shown(app).rows) {
    if (row.kind !== 'connection') continue;
    const history = row.server.histories.get(row.item.key);
    if (!history) continue;
    any = true;
    rateNow += currentRate(history, app.now);
    series(history, count, app.now, 'rate').forEach((value, i) => {
      rates[i] = (rates[i] ?? 0) + value;
    });
  }
  return { title: '', rates: any ? rates : null, latencies: any ? [] : null, rateNow, latencyNow: -1, stale: false };
}

export function drawCharts(
  app: App,
  grid: Grid,
  rect: Rect,
  covered: boolean,
  head: (title: string, more: readonly Run[]) => void,
): ChartSpot[] {
  const glyphs = glyphsFor(app.ascii);
  const gap = 2;
  const left = Math.floor((rect.width - gap) / 2);
  const right = rect.width - gap - left;
  const known = data(app, Math.max(left, right));
  // A place without connections has no throughput; 0 would be a figure that nobody measured.
  const rateText = known.rates === null ? '' : ` ${formatBytes(known.rateNow)}/s`;
  const latencyText = known.title === '' ? '' : ` ${known.latencyNow < 0 ? 'unknown' : formatMillis(known.latencyNow)}`;
  head(known.title === '' ? 'Charts' : `Charts: ${known.title}`, []);
  const top = rect.y + 1;
  const height = rect.height - 1;
  const spots: ChartSpot[] = [];
  const chart = (
    id: string,
    x: number,
    wide: number,
    label: string,
    values: readonly number[] | null,
    role: Role,
    format: (value: number) => string,
  ): void => {
    const area = { x, y: top, width: wide, height };
    const recent = (values ?? []).slice(-wide);
    const most = Math.max(0, ...recent);
    const widget = !covered && !app.ascii && height >= WIDGET_HEIGHT_MIN && wide >= WIDGET_WIDTH_MIN && most > 0;
    // Half a number says something wrong: the maximum is shown whole or not at all.
    const withMost = most > 0 ? `${label}  max ${format(most)}` : label;
    const title = cut(width(withMost) <= wide ? withMost : label, wide, 'start', glyphs.ellipsis);
    grid.put(x, top, [run(title, known.stale ? 'stale' : 'title')], wide);
    if (recent.length === 0) {
      grid.put(
        x,
        top + 1,
        [
          run(
            values === null
              ? 'no connection here'
              : id === 'latency' && known.title === ''
                ? 'select a connection'
                : 'no data yet',
            'dim',
          ),
        ],
        wide,
      );
      return;
    }
    const plot = { ...area, y: top + 1, height: height - 1 };
    bars(grid, plot, recent, most, known.stale ? 'stale' : role, glyphs.bars);
    if (widget) {
      const labels = recent.map((_, i) => (i === recent.length - 1 ? 'now' : `-${recent.length - 1 - i}s`));
      spots.push({ id, rect: plot, title, role: known.stale ? 'stale' : role, labels, values: recent });
    }
  };
  chart(
    'throughput',
    rect.x,
    left,
    `Throughput${rateText}`,
    known.rates,
    'chart.1',
    (value) => `${formatBytes(value)}/s`,
  );
  chart('latency', rect.x + left + gap, right, `Latency${latencyText}`, known.latencies, 'chart.2', formatMillis);
  return spots;
}

/** One column per second, newest at the right, in eighths of a cell. */
export function bars(
  grid: Grid,
  rect: Rect,
  values: readonly number[],
  most: number,
  role: Role,
  signs: readonly string[],
): void {
  const { height } = rect;
  const full = signs.at(-1) ?? '#';
  const offset = rect.width - values.length;
  values.forEach((value, i) => {
    const x = rect.x + offset + i;
    if (most <= 0 || value <= 0) {
      if (values.length > 0) grid.put(x, rect.y + height - 1, [run(signs[0] ?? '_', 'dim')], 1);
      return;
    }
    const eighths = Math.max(1, Math.round((value / most) * height * 8));
    for (let row = 0; row < height; row++) {
      const filled = eighths - row * 8;
      if (filled <= 0) break;
      const sign = filled >= 8 ? full : (signs[filled - 1] ?? full);
      grid.put(x, rect.y + height - 1 - row, [run(sign, role)], 1);
    }
  });
}
