#!/usr/bin/env node
/** understudy: a command line when arguments are given, the cockpit otherwise. */
import { runCli } from './cli/index.js';

process.exitCode = await runCli(process.argv.slice(2));
