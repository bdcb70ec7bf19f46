/** Commands as people type them. */

/** Words of a command as a shell would split them; quotes hold together, a backslash takes the next as it is. */
export function words(text: string): string[] | null {
  const found: string[] = [];
  let word: string | null = null;
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? '';
    if (quote !== '') {
      if (character === quote) quote = '';
      else if (character === '\\' && quote === '"' && at + 1 < text.length) word += text[++at] ?? '';
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= '';
    } else if (character === ' ' || character === '\t') {
      if (word !== null) found.push(word);
      word = null;
    } else word = (word ?? '') + (character === '\\' && at + 1 < text.length ? (text[++at] ?? '') : character);
  }
  if (word !== null) found.push(word);
  return quote === '' ? found : null;
}
