/** Whatever went wrong, in words for a person. */
import { Failure, noticeRemedy, noticeText } from '../../protocol/errors.js';
import type { Trouble } from '../model/fleet.js';
import { LinkError } from './transport.js';

export function troubleOf(error: unknown): Trouble {
  if (error instanceof LinkError) return { code: error.code, text: error.message, remedy: error.remedy };
  if (error instanceof Failure)
    return { code: error.code, text: noticeText(error.notice), remedy: noticeRemedy(error.notice) };
  return { code: 'INTERNAL', text: error instanceof Error ? error.message : String(error), remedy: '' };
}
