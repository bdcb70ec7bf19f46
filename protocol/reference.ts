/** The reference page of the control protocol, made from its declarations: `node dist/protocol/reference.js`. */
import { z } from 'zod';
import { CATALOGUE, type Entry } from './errors.js';
import { FAMILIES } from './messages/index.js';
import type { Params } from './catalogue/define.js';
import { PROTOCOL_VERSION, PROTOCOL_VERSION_MIN } from './version.js';

interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
  readonly maxLength?: number;
  readonly maxItems?: number;
}

const DEPTH_MAX = 4;
const cell = (text: string): string => text.replaceAll('|', '\\|');

function typeText(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.map((word) => `\`${String(word)}\``).join(', ');
  if (schema.const !== undefined) return `\`${String(schema.const)}\``;
  if (schema.anyOf) return schema.anyOf.map(typeText).join(' or ');
  switch (schema.type) {
    case 'array':
      return `list of ${schema.items ? typeText(schema.items) : 'anything'}${schema.maxItems ? `, at most ${schema.maxItems}` : ''}`;
    case 'string':
      return `text${schema.maxLength ? `, at most ${schema.maxLength}` : ''}`;
    case 'integer':
      return 'whole number';
    case 'object':
      return schema.properties ? 'fields below' : 'values by name';
    default:
      return schema.type ?? 'anything';
  }
}

function rows(schema: JsonSchema, prefix: string, depth: number): string[] {
  if (depth > DEPTH_MAX) return [];
  const lines: string[] = [];
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const optional = schema.required?.includes(name) ? '' : ' (may be left out)';
    lines.push(`| \`${prefix}${name}\`${optional} | ${cell(typeText(field))} | ${cell(field.description ?? '')} |`);
    const inner = field.type === 'array' ? field.items : (field.anyOf?.find((one) => one.type === 'object') ?? field);
    if (inner?.properties)
      lines.push(...rows(inner, `${prefix}${name}${field.type === 'array' ? '[]' : ''}.`, depth + 1));
  }
  return lines;
}

function table(title: string, schema: z.ZodType): string[] {
  const lines = rows(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema, '', 0);
  if (lines.length === 0) return [`${title}: nothing.`, ''];
  return [`${title}:`, '', '| Field | Type | Meaning |', '|---|---|---|', ...lines, ''];
}

/** The whole page as Markdown. */
export function referencePage(): string {
  const lines = [
    '# Control protocol',
    '',
    'Made from `protocol/messages` by `node dist/protocol/reference.js`; do not edit.',
    '',
    `Version ${PROTOCOL_VERSION}, oldest understood ${PROTOCOL_VERSION_MIN}. A stream opens with the bytes \`89 55 53 54 44 59 0d 0a\` from each side, then`,
    'frames follow: length as 32 bits, least significant byte first, and one CBOR value without tags. The first frame',
    'of each side is its opening `{versions: {min, max}, capabilities, software}`.',
    '',
    'The console sends `{kind: "request", id, method, params}`, `{kind: "subscribe", id, topic, params}` and',
    '`{kind: "cancel", id}`. The agent answers a request with `{kind: "response", id, result}` or `{..., error}`. A',
    'subscription is answered by `snapshot` items, `synced`, then `delta`s numbered from 1 that `put` one item or',
    '`remove` one key; after a gap, or after `ended`, subscribe again. Fields that are not known are ignored.',
    '',
  ];
  for (const family of FAMILIES) {
    lines.push(`## ${family.name}`, '');
    for (const method of family.methods) {
      lines.push(
        `### \`${method.name}\``,
        '',
        method.why,
        '',
        `Access: ${method.access}${method.changes ? ', leaves an audit line' : ''}.`,
        '',
      );
      lines.push(...table('Parameters', method.params), ...table('Result', method.result));
    }
    for (const topic of family.topics) {
      lines.push(`### Topic \`${topic.name}\``, '', topic.why, '', `Access: ${topic.access}.`, '');
      lines.push(...table('Parameters', topic.params), ...table('Item', topic.item));
    }
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

/** The catalogue of messages as Markdown; parameters stand in braces. */
export function messagesPage(): string {
  const names = new Proxy({}, { get: (_, name) => `{${String(name)}}` }) as Params;
  const lines = [
    '# Messages',
    '',
    'Made from `protocol/catalogue` by `node dist/protocol/reference.js messages`; do not edit.',
    '',
    '| ID | Code | Severity | Retry | Message | What to do |',
    '|---|---|---|---|---|---|',
  ];
  const all = Object.entries(CATALOGUE) as unknown as [string, Entry<Params>][];
  for (const [code, entry] of all.sort((a, b) => a[1].id - b[1].id)) {
    const say = (part: (params: Params) => string): string => {
      try {
        return part(names);
      } catch {
        return '';
      }
    };
    lines.push(
      `| ${entry.id} | \`${code}\` | ${entry.severity} | ${entry.retry} | ${cell(say(entry.message))} | ${cell(say(entry.remedy))} |`,
    );
  }
  return `${lines.join('\n')}\n`;
}

if (process.argv[1]?.endsWith('/protocol/reference.js'))
  process.stdout.write(process.argv[2] === 'messages' ? messagesPage() : referencePage());
