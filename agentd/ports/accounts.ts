/** What the operating system says about who calls (SEC-01). */

export interface Accounts {
  /** Name of a user; the number as text when it has none. */
  userName(uid: number): string;
  groupNames(uid: number): readonly string[];
  /** User the agent runs as. */
  readonly ownUid: number;
}
