/**
 * Field combinators: one declaration gives the type, the validator and the line of the reference page.
 *
 * Validators drop fields they do not know, so that a newer peer may say more. Nothing here carries a default:
 * what is left out stays left out, and the agent decides.
 */
import { z } from 'zod';
import { PATH_LENGTH_MAX } from './limits.js';

export type Schema<T = unknown> = z.ZodType<T>;
export type Infer<S extends z.ZodType> = z.infer<S>;

/** Text of at most `max` UTF-16 units. */
export const text = (max: number, why: string) => z.string().max(max).describe(why);
/** A path as text; not interpreted here. */
export const path = (why: string) => z.string().min(1).max(PATH_LENGTH_MAX).describe(why);
/** One of the listed words, exactly. */
export const oneOf = <const T extends readonly [string, ...string[]]>(words: T, why: string) =>
  z.enum(words).describe(why);
export const flag = (why: string) => z.boolean().describe(why);
/** A whole number, 0 or more. */
export const count = (why: string) => z.number().int().nonnegative().describe(why);
/** A whole number between two bounds, both included. */
export const whole = (min: number, max: number, why: string) => z.number().int().min(min).max(max).describe(why);
export const bytes = (why: string) => z.number().int().nonnegative().describe(`${why} [bytes]`);
/** A span in milliseconds; -1 stands for unknown where the description says so. */
export const millis = (why: string) => z.number().min(-1).describe(`${why} [ms]`);
/** Wall-clock time, milliseconds since 1970. */
export const wallTime = (why: string) => z.number().describe(`${why} [ms since 1970]`);
/** Hex SHA-256 of a public key. */
export const keyDigest = (why: string) =>
  z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')
    .describe(why);
export const list = <S extends z.ZodType>(item: S, max: number, why: string) => z.array(item).max(max).describe(why);
export const struct = <S extends z.ZodRawShape>(fields: S, why = '') => z.object(fields).describe(why);
export const nullable = <S extends z.ZodType>(schema: S) => schema.nullable().describe(schema.description ?? '');
export const optional = <S extends z.ZodType>(schema: S) => schema.optional().describe(schema.description ?? '');
/** Parameters of a catalogue message: short texts and numbers by name. */
export const parameters = (why: string) =>
  z.record(z.string().max(64), z.union([z.string().max(8_192), z.number(), z.boolean(), z.null()])).describe(why);

/** Who may call: `none` is everybody who reaches the socket (SEC-04), each next level includes the one before. */
export const ACCESS = ['none', 'monitor', 'administrator'] as const;
export type Access = (typeof ACCESS)[number];

export interface Method<P extends z.ZodType = z.ZodType, R extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly access: Access;
  /** True when it changes something: leaves an audit line. */
  readonly changes: boolean;
  readonly params: P;
  readonly result: R;
  readonly why: string;
}

export function method<P extends z.ZodType, R extends z.ZodType>(
  name: string,
  access: Access,
  changes: boolean,
  params: P,
  result: R,
  why: string,
): Method<P, R> {
  return { name, access, changes, params, result, why };
}

/**
 * A live collection of keyed items: a snapshot, `synced`, then numbered deltas that put or remove one item each.
 */
export interface Topic<P extends z.ZodType = z.ZodType, I extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly access: Access;
  readonly params: P;
  readonly item: I;
  readonly key: (item: z.infer<I>) => string;
  readonly why: string;
}

export function topic<P extends z.ZodType, I extends z.ZodType>(
  name: string,
  access: Access,
  params: P,
  item: I,
  key: (item: z.infer<I>) => string,
  why: string,
): Topic<P, I> {
  return { name, access, params, item, key, why };
}

/** First problem of a failed validation as text: `rules.0.path: must be ...`. */
export function problemOf(error: z.ZodError): string {
  const issue = error.issues[0];
  if (!issue) return 'invalid';
  const where = issue.path.map(String).join('.');
  return where ? `${where}: ${issue.message}` : issue.message;
}
