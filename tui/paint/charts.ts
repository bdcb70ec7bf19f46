/** Line charts of blessed-contrib over the cells, where there is room for axes. Built once, then shown and hidden. */
import { createRequire } from 'node:module';
import type { Widgets } from 'blessed';
import type { ChartSpot } from '../layout/grid.js';
import type { Role } from '../layout/roles.js';
import type { Look } from '../theme/theme.js';

const require = createRequire(import.meta.url);

interface LineWidget extends Widgets.BoxElement {
  setData(
    data: { title: string; x: readonly string[]; y: readonly number[]; style: { line: number | string } }[],
  ): void;
  calcSize: () => void;
  canvasSize: { width: number; height: number };
  options: Record<string, unknown> & { style: Record<string, unknown> };
  emit(event: string): boolean;
}
type LineFactory = (options: Record<string, unknown>) => LineWidget;

interface Placed {
  readonly widget: LineWidget;
  size: string;
  data: string;
}

export class ChartWidgets {
  readonly #screen: Widgets.Screen;
  readonly #placed = new Map<string, Placed>();
  #plain: boolean;
  #factory: LineFactory | null = null;
  #failed = false;

  /** @param plain no braille: the bars drawn in cells stay */
  constructor(screen: Widgets.Screen, plain: boolean) {
    this.#screen = screen;
    this.#plain = plain;
  }

  setPlain(plain: boolean): void {
    this.#plain = plain;
  }

  /** After a resize every widget must measure itself anew. */
  reset(): void {
    for (const placed of this.#placed.values()) placed.size = '';
  }

  place(spots: readonly ChartSpot[], look: (role: Role) => Look): void {
    const wanted = this.#plain || this.#failed ? [] : spots;
    for (const [id, placed] of this.#placed) if (!wanted.some((spot) => spot.id === id)) placed.widget.hide();
    for (const spot of wanted) {
      try {
        this.#show(spot, look(spot.role));
      } catch {
        // A chart that cannot be drawn must not take the screen with it: the bars beneath stay.
        this.#failed = true;
        for (const placed of this.#placed.values()) placed.widget.hide();
        return;
      }
    }
  }

  #show(spot: ChartSpot, look: Look): void {
    const { rect } = spot;
    const place = { left: rect.x, top: rect.y, width: rect.width, height: rect.height };
    let placed = this.#placed.get(spot.id);
    if (!placed) {
      const make = this.#load();
      const colour = look.fg < 0 ? 7 : look.fg;
      const widget = make({
        ...place,
        showLegend: false,
        wholeNumbersOnly: false,
        abbreviate: true,
        numYLabels: Math.max(2, Math.floor(rect.height / 3)),
        // In dots, two per cell: room for "999k" whatever the largest label of the moment is.
        xLabelPadding: 10,
        xPadding: 10,
        style: { line: colour, text: 7, baseline: 8 },
      });
      // Its own measure leaves a broad margin free on the right and below.
      widget.calcSize = () => {
        widget.canvasSize = { width: Number(widget.width) * 2, height: Number(widget.height) * 4 };
      };
      this.#screen.append(widget);
      placed = { widget, size: '', data: '' };
      this.#placed.set(spot.id, placed);
    }
    const { widget } = placed;
    const size = JSON.stringify(place);
    if (size !== placed.size) {
      placed.size = size;
      placed.data = '';
      Object.assign(widget, place);
      widget.options['numYLabels'] = Math.max(2, Math.floor(rect.height / 3));
      // The widget makes its canvas when it is attached; a new size needs a new one.
      widget.emit('attach');
    }
    widget.show();
    const colour = look.fg < 0 ? 7 : look.fg;
    const data = JSON.stringify([spot.values, colour]);
    if (data === placed.data) return;
    placed.data = data;
    widget.setData([{ title: spot.title, x: spot.labels, y: spot.values, style: { line: colour } }]);
  }

  /** Only the one widget's file: the whole package takes three times as long to load. */
  #load(): LineFactory {
    this.#factory ??= require('blessed-contrib/lib/widget/charts/line.js') as LineFactory;
    return this.#factory;
  }
}
