/** Which file systems a set may live on, by the number that statfs(2) tells. */

/** CAP-04: what the kernel shows of itself; nothing of it is data. */
const PSEUDO: Readonly<Record<number, string>> = {
  40864: 'proc',
  1650812274: 'sysfs',
  2613483: 'cgroup',
  1667723888: 'cgroup2',
  1684170528: 'debugfs',
  1953653091: 'tracefs',
  1935894131: 'securityfs',
  7377: 'devpts',
  427819522: 'mqueue',
  3405662737: 'bpf',
  1634035564: 'pstore',
  1650812272: 'configfs',
  3730735588: 'efivarfs',
  1112100429: 'binfmt_misc',
  1702057283: 'fusectl',
  1733912937: 'rpc_pipefs',
  1853056627: 'nsfs',
  4185718668: 'selinuxfs',
  1128357203: 'smackfs',
};

/** CAP-02: other servers write there, too, and no event tells what they do. */
const SHARED: Readonly<Record<number, string>> = {
  26985: 'nfs',
  20859: 'smb',
  4283649346: 'cifs',
  4266872130: 'smb2',
  12805120: 'ceph',
  1397113167: 'afs',
  1799439955: 'kafs',
  1937076805: 'coda',
  16914839: '9p',
  198183888: 'lustre',
  18225520: 'gfs2',
  1952539503: 'ocfs2',
};

/** CAP-11: the same data lies beneath in another form. */
const STACKED: Readonly<Record<number, string>> = { 61791: 'ecryptfs' };

/** Why no set can live on this file system, or null. `type`: f_type of statfs(2); null: not known. */
export function fileSystemProblem(type: number | null): string | null {
  if (type === null) return null;
  const pseudo = PSEUDO[type];
  if (pseudo !== undefined) return `it is on ${pseudo}, which shows the state of the kernel and holds no data`;
  const shared = SHARED[type];
  if (shared !== undefined) return `it is on ${shared}, where other servers write unseen; protect it where its disk is`;
  const stacked = STACKED[type];
  if (stacked !== undefined) return `it is on ${stacked}, which is stacked upon another file system; protect that one`;
  return null;
}
