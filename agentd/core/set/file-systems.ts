/** Which file systems a set may live on, by the number that statfs(2) tells and lists. */

/** CAP-04: what the kernel shows of itself; nothing of it is data. */
const PSEUDO: ReadonlyMap<number, string> = new Map([
  [0x9fa0, 'proc'],
  [0x62656572, 'sysfs'],
  [0x27e0eb, 'cgroup'],
  [0x63677270, 'cgroup2'],
  [0x64626720, 'debugfs'],
  [0x74726163, 'tracefs'],
  [0x73636673, 'securityfs'],
  [0x1cd1, 'devpts'],
  [0x19800202, 'mqueue'],
  [0xcafe4a11, 'bpf'],
  [0x6165676c, 'pstore'],
  [0x62656570, 'configfs'],
  [0xde5e81e4, 'efivarfs'],
  [0x42494e4d, 'binfmt_misc'],
  [0x65735543, 'fusectl'],
  [0x67596969, 'rpc_pipefs'],
  [0x6e736673, 'nsfs'],
  [0xf97cff8c, 'selinuxfs'],
  [0x43415d53, 'smackfs'],
]);

/** CAP-02: other servers write there, too, and no event tells what they do. */
const SHARED: ReadonlyMap<number, string> = new Map([
  [0x6969, 'nfs'],
  [0x517b, 'smb'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0xc36400, 'ceph'],
  [0x5346414f, 'afs'],
  [0x6b414653, 'kafs'],
  [0x73757245, 'coda'],
  [0x1021997, '9p'],
  [0xbd00bd0, 'lustre'],
  [0x1161970, 'gfs2'],
  [0x7461636f, 'ocfs2'],
]);

/** CAP-11: the same data lies beneath in another form. */
const STACKED: ReadonlyMap<number, string> = new Map([[0xf15f, 'ecryptfs']]);

/** Why no set can live on this file system, or null. `type`: f_type of statfs(2); null: not known. */
export function fileSystemProblem(type: number | null): string | null {
  if (type === null) return null;
  const pseudo = PSEUDO.get(type);
  if (pseudo !== undefined) return `it is on ${pseudo}, which shows the state of the kernel and holds no data`;
  const shared = SHARED.get(type);
  if (shared !== undefined) return `it is on ${shared}, where other servers write unseen; protect it where its disk is`;
  const stacked = STACKED.get(type);
  if (stacked !== undefined) return `it is on ${stacked}, which is stacked upon another file system; protect that one`;
  return null;
}
