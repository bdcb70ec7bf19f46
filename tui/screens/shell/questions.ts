/** Questions of a link to the person: an unknown host key, a password, a passphrase, a one-time code. */
import type { App, Asked, Step } from '../../model/app.js';
import { editKey, insert, lineText } from '../../model/line-edit.js';
import { say } from '../replication/update.js';

export const HOST_KEY_BUTTONS = ['Refuse', 'Only this time', 'Accept and remember'] as const;
const HOST_KEY_ANSWERS = ['no', 'once', 'yes'] as const;

/** The question on the screen. One that comes while a form or a command is being typed waits: the next key was not for it. */
export function askedNow(app: App): Asked | null {
  const typing = app.overlay?.kind === 'dialog' || app.overlay?.kind === 'palette' || app.screen.table.typing !== null;
  return typing ? null : (app.asked[0] ?? null);
}

const withFirst = (app: App, change: Partial<Asked>): App => {
  const [first, ...rest] = app.asked;
  return first ? { ...app, asked: [{ ...first, ...change }, ...rest] } : app;
};

export function answerKey(app: App, name: string, text: string): Step {
  const asked = app.asked[0];
  if (!asked) return [app, []];
  const rest = { ...app, asked: app.asked.slice(1) };
  if (name === 'escape' || name === 'C-c') {
    return [
      say(rest, 'info', 'Not answered.'),
      [{ kind: 'answer', id: asked.id, answer: asked.question.kind === 'host_key' ? 'no' : null }],
    ];
  }
  if (asked.question.kind === 'host_key') {
    if (name === 'left' || name === 'S-tab') return [withFirst(app, { focus: Math.max(0, asked.focus - 1) }), []];
    if (name === 'right' || name === 'tab')
      return [withFirst(app, { focus: Math.min(HOST_KEY_BUTTONS.length - 1, asked.focus + 1) }), []];
    if (name === 'enter')
      return [rest, [{ kind: 'answer', id: asked.id, answer: HOST_KEY_ANSWERS[asked.focus] ?? 'no' }]];
    return [app, []];
  }
  if (name === 'enter') return [rest, [{ kind: 'answer', id: asked.id, answer: lineText(asked.answer) }]];
  const edited = editKey(asked.answer, name) ?? (text === '' ? null : insert(asked.answer, text));
  return edited ? [withFirst(app, { answer: edited }), []] : [app, []];
}

export function answerPaste(app: App, text: string): Step {
  const asked = app.asked[0];
  if (!asked || asked.question.kind === 'host_key') return [app, []];
  // A password copied with its line end is the password without it.
  return [withFirst(app, { answer: insert(asked.answer, text.replace(/[\r\n]+$/, '')) }), []];
}
