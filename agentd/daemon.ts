/** understudyd: reads the configuration, builds the adapters, starts the agent. Wiring only. */
import { existsSync, mkdirSync } from 'node:fs';
import { hostname, release, totalmem, type as systemType } from 'node:os';
import { join } from 'node:path';
import { native } from '../native/index.js';
import { Failure, failure, noticeRemedy, noticeText } from '../protocol/errors.js';
import { systemClock } from './adapters/clock.js';
import { defaultPlaces, loadConfig } from './adapters/config.js';
import { ControlSocket } from './adapters/control-socket.js';
import { FileDocuments, realPlaces } from './adapters/files.js';
import { loadIdentity } from './adapters/identity.js';
import { ErrorStream, LogFile } from './adapters/log-file.js';
import { sendMail } from './adapters/mail.js';
import { serveMetrics } from './adapters/metrics-server.js';
import { sendTrap } from './adapters/snmp.js';
import { TaskProcesses } from './adapters/task-runner.js';
import { lockState } from './adapters/state-lock.js';
import { StatisticsFile } from './adapters/statistics-file.js';
import { isJournal, JournalSink, SyslogSink } from './adapters/system-log.js';
import { VerifyLogFiles } from './adapters/verify-log-files.js';
import { FileVault } from './adapters/vault.js';
import type { Configured, SettingKey, Settings } from './core/settings/settings.js';
import { Agent } from './drivers/agent.js';
import { loadOverrides } from './drivers/settings.js';
import { causeOf } from './drivers/world.js';
import { daemonCommand, type Flags } from './flags.js';

/** sysexits: configuration error, must not be restarted in a loop. */
const EXIT_CONFIG = 78;
const EXIT_SOFTWARE = 70;
const EXIT_CANTCREATE = 73;

/** A control group may allow less than the machine has; where none does, Node says 0 or more than there is. */
function systemMemory(): number {
  const allowed = process.constrainedMemory();
  return allowed > 0 ? Math.min(totalmem(), allowed) : totalmem();
}

async function main(): Promise<void> {
  const flags = daemonCommand().parse(process.argv).opts<Flags>();
  const uid = process.getuid?.() ?? 0;
  const commandLine: Partial<Record<SettingKey, string>> = {};
  if (flags.state !== undefined) commandLine['agent.state'] = flags.state;
  if (flags.socket !== undefined) commandLine['agent.socket'] = flags.socket;
  if (flags.listen !== undefined) commandLine['agent.listen'] = flags.listen;
  if (flags.name !== undefined) commandLine['agent.name'] = flags.name;
  const places = defaultPlaces(uid);
  // The state folder is known first: what was set while an agent ran lies there.
  const state = loadConfig(flags.config ?? null, places, commandLine).settings['agent.state'];
  const documents = new FileDocuments(state);
  const reread = (): Configured =>
    loadConfig(flags.config ?? null, places, commandLine, existsSync(state) ? loadOverrides(documents) : {});
  const configured = reread();
  const { settings } = configured;
  for (const folder of [state, settings['log.folder']])
    if (!folder.startsWith('/')) throw failure('CONFIG_INVALID', { file: folder, problem: 'folders must be absolute' });

  const unlock = lockState(state);
  const addon = native();
  mkdirSync(settings['log.folder'], { recursive: true, mode: 0o750 });
  const identity = loadIdentity(state, () => addon.createIdentity(settings['agent.name']));
  const ownKey = addon.publicKeyDigest(identity.certificate);
  let agent: Agent | null = null;
  const file = new LogFile({
    folder: settings['log.folder'],
    lengthMax: settings['log.length'],
    filesMax: settings['log.files'],
    onTrouble: (error) =>
      agent?.world.log.say(
        'LOG_NOT_WRITTEN',
        { folder: settings['log.folder'] },
        {},
        { call: error.syscall ?? 'write', errno: error.code ?? 'EIO' },
      ),
  });
  const vault = new FileVault(state, documents, (key, problem) =>
    agent?.world.log.say('SECRET_UNREADABLE', { key, problem }),
  );
  const journal = isJournal(process.env['JOURNAL_STREAM'], 2);
  const plain = new ErrorStream(process.stderr, journal);
  const stderr =
    journal && settings['log.journal'] === 'auto'
      ? new JournalSink(addon.sendDatagram, plain, (error) =>
          agent?.world.log.say('SYSLOG_FAILED', { via: 'journald' }, {}, causeOf(error)),
        )
      : plain;
  const now = (): Settings => agent?.world.settings ?? settings;
  const syslog = new SyslogSink({
    send: addon.sendDatagram,
    pid: process.pid,
    wanted: () => now()['log.syslog'] === 'on' || (now()['log.syslog'] === 'auto' && !journal),
    path: () => now()['log.syslog_socket'],
    onTrouble: (path, error) => {
      // A machine without syslog has nothing wrong with it, unless somebody asked for it.
      if (now()['log.syslog'] === 'on' || error.code !== 'ENOENT')
        agent?.world.log.say('SYSLOG_FAILED', { via: `syslog at ${path}` }, {}, causeOf(error));
    },
  });
  const statistics = new StatisticsFile(
    join(settings['log.folder'], settings['statistics.file']),
    settings['statistics.length'],
    (kept) => agent?.world.log.say('STATISTICS_STARTED_ANEW', { file: statistics.file, kept }),
  );
  agent = new Agent({
    clock: systemClock,
    documents,
    places: realPlaces,
    verifyLogs: new VerifyLogFiles(settings['log.folder']),
    sinks: [stderr, syslog, file],
    configured,
    outside: {
      vault,
      reread,
      sendMail,
      sendTrap,
      statistics,
      serveMetrics,
      fileSystems: {
        of: (directory) => addon.fileSystemOf(directory),
        thaw: (directory) => {
          try {
            addon.thaw(directory);
            return true;
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code === 'EINVAL') return false;
            throw error;
          }
        },
      },
      memoryBytes: systemMemory(),
      tasks: new TaskProcesses(uid, (name) => addon.account(name)),
    },
    ownKey,
    facts: {
      hostName: hostname(),
      operatingSystem: `${systemType()} ${release()}`,
      privileged: uid === 0,
      probe: (path) => addon.probe(path),
    },
    createEngine: (onEvent) =>
      addon.createEngine({
        key: identity.key,
        certificate: identity.certificate,
        queueMemoryBytes: settings['queue.memory_mb'] * 1_048_576,
        onEvent,
      }),
  });
  const running = agent;
  if (identity.created) running.world.log.say('IDENTITY_CREATED', { key: ownKey });
  const control = await ControlSocket.listen({
    path: settings['agent.socket'],
    served: running,
    accounts: {
      ownUid: uid,
      userName: (id) => addon.userName(id) ?? String(id),
      groupNames: (id) => addon.groupNames(id),
    },
    peerUid: (fd) => addon.peerCredentials(fd).uid,
  });
  // In the same turn as the socket was opened: nobody can ask before the connections are back.
  running.start();

  const crash = (error: unknown): void => {
    // The state on disk is the truth; nothing of this process is worth saving any more (STYLE 1).
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    try {
      running.world.log.say('AGENT_CRASHED', { detail });
    } finally {
      process.exit(EXIT_SOFTWARE);
    }
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);

  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    // The second signal is the impatient one: what is on disk is enough to repair.
    if (stopping) process.exit(130);
    stopping = true;
    void (async () => {
      await control.close();
      await running.stop(signal);
      unlock();
      process.exit(0);
    })().catch(crash);
  };
  // Whoever read our messages may be gone; they are in the log file, too.
  process.stderr.on('error', () => undefined);
  // Log files were moved away: the next line opens a new one.
  process.on('SIGHUP', () => file.close());
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

main().catch((error: unknown) => {
  if (error instanceof Failure) {
    const remedy = noticeRemedy(error.notice);
    process.stderr.write(`understudyd: ${noticeText(error.notice)}\n${remedy ? `${remedy}\n` : ''}`);
    process.exit(error.code === 'CONFIG_INVALID' || error.code === 'STATE_INVALID' ? EXIT_CONFIG : EXIT_CANTCREATE);
  }
  process.stderr.write(`understudyd: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(EXIT_SOFTWARE);
});
