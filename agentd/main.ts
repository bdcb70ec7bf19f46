#!/usr/bin/env node
/** Sets the runtime up before anything else is loaded; the agent itself is daemon.ts. */
import { setFlagsFromString } from 'node:v8';

// Young objects stay in a small space: it would grow while the modules load, and never shrink again (10 MiB of an agent
// that idles). An agent makes few objects; what is many goes through the engine.
setFlagsFromString('--semi-space-growth-factor=1');
await import('./daemon.js');
