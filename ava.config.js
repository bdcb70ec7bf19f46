export default {
  files: ['dist/test/**/*.test.js'],
  // The addon keeps one engine per process, and pseudo-terminals need real processes.
  workerThreads: false,
  timeout: '5m',
  environmentVariables: { NODE_ENV: 'test' },
};
