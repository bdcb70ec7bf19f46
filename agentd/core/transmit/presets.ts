/** Usual links, for redisplay (TRN-31) and as a choice (TRN-32). */

export interface Link {
  readonly name: string;
  readonly kbps: number;
}

/** Smallest first. */
export const LINKS: readonly Link[] = [
  { name: 'modem', kbps: 56 },
  { name: 'ISDN', kbps: 64 },
  { name: 'ISDN 2 channels', kbps: 128 },
  { name: '256 kbit/s', kbps: 256 },
  { name: '512 kbit/s', kbps: 512 },
  { name: 'T1', kbps: 1_544 },
  { name: 'E1', kbps: 2_048 },
  { name: 'Ethernet', kbps: 10_000 },
  { name: 'E3', kbps: 34_368 },
  { name: 'T3', kbps: 44_736 },
  { name: 'Fast Ethernet', kbps: 100_000 },
  { name: 'OC-3', kbps: 155_520 },
  { name: 'OC-12', kbps: 622_080 },
  { name: 'Gigabit Ethernet', kbps: 1_000_000 },
  { name: '2.5 Gigabit Ethernet', kbps: 2_500_000 },
  { name: '10 Gigabit Ethernet', kbps: 10_000_000 },
  { name: '40 Gigabit Ethernet', kbps: 40_000_000 },
  { name: '100 Gigabit Ethernet', kbps: 100_000_000 },
];

/** TRN-31: only kbit/s is stored; capacity and percentage are worked out from the smallest usual link that fits. */
export function shownAs(kbps: number): { readonly percent: number; readonly kbps: number; readonly link: string } {
  const link = LINKS.find((each) => each.kbps >= kbps) ?? { name: 'as fast as the limit', kbps: Math.ceil(kbps) };
  return { percent: Math.max(1, Math.round((kbps / link.kbps) * 100)), kbps: link.kbps, link: link.name };
}
