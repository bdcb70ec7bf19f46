/** Questions on the terminal: unknown host keys, passwords. Without a terminal nothing is asked and the answer is no. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Prompts } from '../link/transport.js';

/** As shells report a process that ^C ended. */
const EXIT_INTERRUPTED = 130;

export function terminalPrompts(): Prompts | undefined {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  return {
    async hostKey({ host, port, keyType, fingerprint, otherTypes }) {
      const known = otherTypes.length > 0 ? ` This server showed ${otherTypes.join(', ')} keys before.` : '';
      const answer = await ask(
        `The ${keyType} key of ${host}:${port} is not known: ${fingerprint}.${known}\nTrust it? [yes/once/no] `,
        true,
      );
      return answer === 'yes' || answer === 'once' ? answer : 'no';
    },
    secret: ({ prompt, echo }) => ask(prompt.endsWith(' ') ? prompt : `${prompt} `, echo),
  };
}

function ask(question: string, echo: boolean): Promise<string | null> {
  return new Promise((resolve) => {
    let muted = false;
    const output = new Writable({
      write(bytes, _encoding, done) {
        if (!muted) process.stderr.write(bytes as Buffer);
        done();
      },
    });
    const lines = createInterface({ input: process.stdin, output, terminal: true });
    lines.once('close', () => resolve(null));
    // In raw mode ^C is a key. It means what it means everywhere else: out, and not "no" to this one question.
    lines.once('SIGINT', () => {
      lines.close();
      process.stderr.write('\n');
      process.exit(EXIT_INTERRUPTED);
    });
    lines.question(question, (answer) => {
      resolve(answer);
      lines.close();
      if (muted) process.stderr.write('\n');
    });
    // The question itself is shown, what is typed after it is not.
    muted = !echo;
  });
}
