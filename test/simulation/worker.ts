/** One thread of many.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { runSeeds, type Seeds } from './many.js';

const port = parentPort;
if (!port) throw new Error('a thread of many.ts only');
port.postMessage(await runSeeds(workerData as Seeds, (line) => port.postMessage(line)));
