/** How a mail leaves this server (LOG-20..22). */

export interface MailRoad {
  /** `HOST` or `HOST:PORT`; empty: the local `mail` command. */
  readonly server: string;
  readonly tls: 'auto' | 'required' | 'implicit' | 'off';
  /** Empty: no log-on. */
  readonly user: string;
  readonly password: string | null;
  readonly timeoutMs: number;
}

export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly body: string;
}

export interface MailResult {
  /** The last words of the server, or of the command. */
  readonly response: string;
  /** Recipients it did not take; at least one was taken. */
  readonly rejected: readonly string[];
}

/** Rejects with an Error whose message says why, within a bounded time. */
export type SendMail = (road: MailRoad, mail: Mail) => Promise<MailResult>;
