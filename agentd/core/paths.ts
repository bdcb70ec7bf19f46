/** Absolute POSIX paths as text; no file system is asked. */

/** Why `path` is not a clean absolute path, or null. */
export function pathProblem(path: string): string | null {
  if (!path.startsWith('/')) return 'it must be absolute';
  if (path.includes('\0')) return 'it holds a NUL character';
  if (path.split('/').some((part) => part === '.' || part === '..')) return 'it must not hold . or .. parts';
  return null;
}

/** Without doubled and trailing slashes; `/` stays `/`. */
export function normalize(path: string): string {
  const clean = path.replace(/\/+/g, '/');
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

/** True when `path` is `directory` or lies below it. Both normalized. */
export function isWithin(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`);
}

/** True when one of the two holds the other. */
export function overlaps(a: string, b: string): boolean {
  return isWithin(a, b) || isWithin(b, a);
}

/** `directory` extended by a relative path; an empty one leaves it as it is. */
export function join(directory: string, relative: string): string {
  const tail = relative.replace(/^\/+/, '');
  if (tail === '') return directory;
  return directory === '/' ? `/${tail}` : `${directory}/${tail}`;
}

/** What has to be appended to `directory` to reach `path`; `path` lies within it. */
export function relative(path: string, directory: string): string {
  if (path === directory) return '';
  return directory === '/' ? path.slice(1) : path.slice(directory.length + 1);
}

export function parent(path: string): string {
  const cut = path.lastIndexOf('/');
  return cut <= 0 ? '/' : path.slice(0, cut);
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
