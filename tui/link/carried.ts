import { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';

/**
 * An SSH channel as an ordinary stream: ssh2's own `destroy` takes no error and only asks the other side to close,
 * so a lost connection would look like a stream that merely fell silent.
 */
export class Carried extends Duplex {
  readonly #channel: ClientChannel;
  readonly #release: () => void;

  /** @param release frees the connections beneath; called once, when this stream is destroyed. */
  constructor(channel: ClientChannel, release: () => void) {
    super({ allowHalfOpen: true });
    this.#channel = channel;
    this.#release = release;
    channel.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) channel.pause();
    });
    channel.once('end', () => this.push(null));
    channel.once('close', () => this.destroy());
    channel.on('error', (error: Error) => this.destroy(error));
    // A tunnel says nothing on stderr, but unread it would stop the window.
    channel.stderr?.resume();
  }

  override _read(): void {
    this.#channel.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#channel.write(chunk, encoding, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#channel.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#channel.close();
    this.#release();
    done(error);
  }
}
