/** Tables of legal moves. Everything that is not in a table is answered, too: with a refusal or by standing still. */

export interface Row<Phase extends string, Fact extends string, Act extends string> {
  readonly from: readonly Phase[];
  readonly on: Fact;
  readonly to: Phase;
  readonly act: readonly Act[];
  readonly why: string;
}

export function findRow<P extends string, F extends string, A extends string>(
  table: readonly Row<P, F, A>[],
  from: P,
  on: F,
): Row<P, F, A> | null {
  return table.find((row) => row.on === on && row.from.includes(from)) ?? null;
}
