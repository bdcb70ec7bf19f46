/** What a process holds and takes, as the kernel counts it. */
import fs from 'node:fs';

export const MIB = 1_048_576;

function status(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const [, kib] = new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  if (kib === undefined) throw new Error(`process ${pid} has no ${field}`);
  return Number(kib) * 1_024;
}

/** Bytes of memory now. @throws when the process is gone */
export const residentBytes = (pid: number): number => status(pid, 'VmRSS');

/** The most bytes of memory it ever had. @throws when the process is gone */
export const peakBytes = (pid: number): number => status(pid, 'VmHWM');

/** Calls that read, of all kinds, since it began. @throws when the process is gone */
export function readCalls(pid: number): number {
  const [, calls] = /^syscr:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/io`, 'utf8')) ?? [];
  if (calls === undefined) throw new Error(`process ${pid} does not count its calls`);
  return Number(calls);
}

/** Milliseconds of processor time, its own and the system's for it, since it began. @throws when the process is gone */
export function cpuMs(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  // utime and stime, in hundredths of a second (USER_HZ).
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
