/** Serves metrics to a collector on this machine. */

export interface MetricsServer {
  /** Where it listens, as configured, with the port in place of 0. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * @param address `unix:/PATH` or a loopback `ADDRESS:PORT`
 * @param render  the page; OpenMetrics when the collector understands it
 * Rejects with the refused call.
 */
export type ServeMetrics = (
  address: string,
  render: (openMetrics: boolean) => Promise<{ readonly type: string; readonly text: string }>,
) => Promise<MetricsServer>;
