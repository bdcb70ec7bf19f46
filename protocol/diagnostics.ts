/** Names of a simulated connection. Apart from its messages, so that a first screen does not load these. */

/** CON-40: name of the target and route of a simulated connection. */
export const DIAGNOSTICS = 'Diagnostics';
export const TDU = 'Throughput Diagnostics Utility (TDU)';
