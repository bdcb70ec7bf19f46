/** The first thing a console asks: who is there, and what may I do? */
import { ACCESS, count, list, method, oneOf, struct, text } from '../schema.js';

export const ServerHello = method(
  'server.hello',
  'none',
  false,
  struct({}),
  struct({
    name: text(255, 'name of the server, as configured or its host name'),
    version: text(64, 'release of the agent'),
    protocol: count('version of the control protocol in use'),
    access: oneOf(ACCESS, 'what the caller may do here (SEC-02..04)'),
    user: text(255, 'who the caller is to this server'),
    capabilities: list(text(64, 'capability'), 256, 'what the agent understands beyond the version'),
  }),
  'Who is there and what the caller may do. The only method open to everybody.',
);
