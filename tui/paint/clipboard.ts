/** Copying through the terminal (OSC 52), or through tmux where we run inside it (T12). */
/** Terminals drop longer ones; the text is then shown for selecting. */
const OSC52_BYTES_MAX = 74_000;
const TMUX_MS = 2_000;

export interface Copied {
  readonly ok: boolean;
  readonly how: string;
}

export async function copy(text: string, write: (text: string) => void): Promise<Copied> {
  if (process.env['TMUX'] && (await loadBuffer(text))) return { ok: true, how: 'through tmux' };
  const encoded = Buffer.from(text).toString('base64');
  if (encoded.length > OSC52_BYTES_MAX) return { ok: false, how: 'too long for the terminal' };
  write(`\u001b]52;c;${encoded}\u0007`);
  return { ok: true, how: 'through the terminal, if it allows it' };
}

/** `-w` hands it on to the outer terminal's clipboard as well. */
async function loadBuffer(text: string): Promise<boolean> {
  const { spawn } = await import('node:child_process');
  return new Promise((resolve) => {
    const child = spawn('tmux', ['load-buffer', '-w', '-'], { stdio: ['pipe', 'ignore', 'ignore'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), TMUX_MS);
    child.once('error', () => resolve(false));
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve(code === 0);
    });
    child.stdin.on('error', () => {});
    child.stdin.end(text);
  });
}
