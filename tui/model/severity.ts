/** How bad it is, and how it rolls up from connection to set to server. */
import type { ConnectionItem, Severity as NoticeSeverity, SetItem } from '../../protocol/messages/index.js';

export const SEVERITIES = ['ok', 'notice', 'warn', 'alert'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** The word beside the sign: meaning is never colour alone. */
export const SEVERITY_WORD: Readonly<Record<Severity, string>> = {
  ok: 'OK',
  notice: 'Busy',
  warn: 'Warning',
  alert: 'Error',
};

export const rank = (severity: Severity): number => SEVERITIES.indexOf(severity);

export function worst(list: Iterable<Severity>): Severity {
  let found: Severity = 'ok';
  for (const one of list) if (rank(one) > rank(found)) found = one;
  return found;
}

export function ofNotice(severity: NoticeSeverity): Severity {
  return severity === 'error' ? 'alert' : severity === 'warning' ? 'warn' : 'ok';
}

/** RCN-24: green check, or an error; work in progress is neither. */
export function ofConnection(item: ConnectionItem): Severity {
  const told = ofNotice(item.severity);
  if (told !== 'ok') return told;
  const s = item.statistics;
  if (s.transmitMode === 'Error' || s.targetDataState === 'Mirror Required' || s.targetDataState === 'Restore required')
    return 'warn';
  if (item.quarantined > 0) return 'warn';
  return s.targetDataState === 'OK' ? 'ok' : 'notice';
}

/** What the set itself says; its connections come on top. */
export function ofSet(set: SetItem): Severity {
  if (set.state === 'stopped' || set.state === 'failed' || set.state === 'missing') return 'alert';
  if (set.problem) return ofNotice(set.problem.severity);
  if (set.outdated) return 'warn';
  return set.state === 'opening' || set.state === 'rescanning' ? 'notice' : 'ok';
}
