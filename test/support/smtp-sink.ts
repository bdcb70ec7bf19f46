/** A small real SMTP server on loopback that keeps what it gets, and can be made to refuse, hang, or want a log-on. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';

export interface Received {
  readonly from: string;
  readonly to: readonly string[];
  /** Header lines and body as they came. */
  readonly text: string;
  readonly user: string | null;
  readonly secure: boolean;
}

export interface SinkOptions {
  /** User and password; without a correct log-on nothing is taken. */
  readonly login?: readonly [string, string];
  /** PEM: offers STARTTLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export class SmtpSink {
  readonly received: Received[] = [];
  readonly commands: string[] = [];
  /** `refuse`: answers DATA with 554. `hang`: takes the connection and says nothing. `reject`: 550 for `nobody@`. */
  mode: 'take' | 'refuse' | 'hang' | 'reject' = 'take';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #waiters: (() => void)[] = [];
  port = 0;

  constructor(readonly options: SinkOptions = {}) {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async open(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.port = address.port;
    return this;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Waits until so many mails are there. @throws after `ms` */
  async until(count: number, ms = 20_000): Promise<void> {
    const end = Date.now() + ms;
    while (this.received.length < count) {
      const left = end - Date.now();
      if (left <= 0) throw new Error(`${this.received.length} of ${count} mails after ${ms} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #serve(plain: Socket): void {
    this.#sockets.add(plain);
    plain.on('close', () => this.#sockets.delete(plain));
    plain.on('error', () => undefined);
    if (this.mode === 'hang') return;
    let socket: Socket = plain;
    let user: string | null = null;
    let asked: { user: string } | 'user' | null = null;
    let from = '';
    let to: string[] = [];
    let data: string[] | null = null;
    let rest = '';
    let secure = false;
    const say = (text: string): void => void socket.write(`${text}\r\n`);
    const line = (text: string): void => {
      if (data) {
        if (text !== '.') {
          data.push(text.startsWith('..') ? text.slice(1) : text);
          return;
        }
        const taken = this.mode !== 'refuse';
        if (taken) this.received.push({ from, to, text: data.join('\n'), user, secure });
        say(taken ? '250 queued as 42' : '554 no thanks');
        data = null;
        for (const wake of this.#waiters.splice(0)) wake();
        return;
      }
      if (asked === 'user') {
        asked = { user: Buffer.from(text, 'base64').toString() };
        say('334 UGFzc3dvcmQ6');
        return;
      }
      if (asked) {
        const [name, password] = this.options.login ?? [];
        const good = asked.user === name && Buffer.from(text, 'base64').toString() === password;
        user = good ? asked.user : null;
        asked = null;
        say(good ? '235 welcome' : '535 wrong name or password');
        return;
      }
      this.commands.push(text);
      const [verb = ''] = text.toUpperCase().split(' ');
      if (verb === 'EHLO') {
        const able = ['sink'];
        if (this.options.tls && !secure) able.push('STARTTLS');
        if (this.options.login) able.push('AUTH LOGIN');
        for (const [at, word] of able.entries()) say(`250${at === able.length - 1 ? ' ' : '-'}${word}`);
      } else if (verb === 'HELO') say('250 sink');
      else if (verb === 'STARTTLS' && this.options.tls) {
        say('220 go on');
        plain.removeAllListeners('data');
        const raised = new TLSSocket(plain, { isServer: true, secureContext: createSecureContext(this.options.tls) });
        raised.on('error', () => undefined);
        socket = raised;
        secure = true;
        raised.on('data', hear);
      } else if (verb === 'AUTH' && this.options.login) {
        asked = 'user';
        say('334 VXNlcm5hbWU6');
      } else if (verb === 'MAIL') {
        if (this.options.login && user === null) {
          say('530 log on first');
          return;
        }
        from = /<(.*?)>/.exec(text)?.[1] ?? '';
        to = [];
        say('250 ok');
      } else if (verb === 'RCPT') {
        const address = /<(.*?)>/.exec(text)?.[1] ?? '';
        if (this.mode === 'reject' && address.startsWith('nobody@')) {
          say('550 no such user');
          return;
        }
        to.push(address);
        say('250 ok');
      } else if (verb === 'DATA') {
        data = [];
        say('354 go on');
      } else if (verb === 'QUIT') {
        say('221 bye');
        socket.end();
      } else say('250 ok');
    };
    const hear = (bytes: Buffer): void => {
      rest += bytes.toString('utf8');
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const text = rest.slice(0, end);
        rest = rest.slice(end + 2);
        line(text);
      }
    };
    plain.on('data', hear);
    say('220 sink');
  }
}

/** Subject of a mail, unfolded and decoded. */
export function subjectOf(mail: Received): string {
  const header = mail.text.split('\n\n')[0] ?? '';
  const folded = /^Subject: ((?:.*)(?:\n[ \t].*)*)/m.exec(header)?.[1] ?? '';
  const decoded = folded.replace(/\?=\n[ \t]+=\?/g, '?==?').replace(/\n[ \t]+/g, ' ');
  return decoded.replace(/=\?UTF-8\?([QB])\?(.*?)\?=/gi, (_, kind: string, text: string) =>
    kind.toUpperCase() === 'B'
      ? Buffer.from(text, 'base64').toString()
      : Buffer.from(
          text
            .replaceAll('_', ' ')
            .replace(/=([0-9A-F]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
          'latin1',
        ).toString('utf8'),
  );
}
