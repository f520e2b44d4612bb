// BullMQ, measured: no-op jobs per second, and the wait from the enqueue call to the handler's start.
//
//     node peer.mjs --redis URL --jobs N --consumers C --latency-jobs M
//
// One process: the producer has the main thread, and each five consumers have a thread with their own event loop, so
// that node can use more than one core. The last line of stdout is one JSON object; see ../README.md for its fields.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker as Thread, workerData } from 'node:worker_threads';
import { Queue, Worker } from 'bullmq';
import Redis from 'ioredis';

const WARM_UP = 200; // jobs before anything is measured
const IN_FLIGHT = 16; // enqueue calls in flight while throughput is measured
const GAP_MS = 5; // time between two enqueue calls while latency is measured
const PATIENCE_MS = 600_000; // a measurement without an end after this long has failed
const PER_THREAD = 5; // consumers of one BullMQ worker, as one of our worker processes runs five slots

const now = () => process.hrtime.bigint(); // one monotonic clock for all threads
const seconds = (from, to) => Number(to - from) / 1e9;

// What the threads share: when each job's handler began (ns), and how many jobs are completed in Redis.
class Board {
  constructor(jobs, buffers) {
    this.buffers = buffers ?? { began: new SharedArrayBuffer(8 * jobs), completed: new SharedArrayBuffer(4) };
    this.began = new BigInt64Array(this.buffers.began);
    this.completed = new Int32Array(this.buffers.completed);
  }
}

// A thread of consumers: runs until the main thread says stop.
async function consume({ url, queue, slots, buffers }) {
  const board = new Board(0, buffers);
  const handler = async (job) => {
    Atomics.compareExchange(board.began, job.data.n, 0n, now());
  };
  const worker = new Worker(queue, handler, {
    connection: new Redis(url, { maxRetriesPerRequest: null }),
    concurrency: slots,
  });
  worker.on('completed', () => Atomics.add(board.completed, 0, 1)); // comes after Redis has answered
  worker.on('failed', (job, error) => console.error(`bullmq: job ${job?.id} failed: ${error}`));
  worker.on('error', (error) => console.error(`bullmq: ${error}`));
  await worker.waitUntilReady();
  parentPort.postMessage('ready');
  parentPort.once('message', async () => {
    await worker.close(true);
    process.exit(0);
  });
}

async function startConsumers(url, queue, consumers, board) {
  const threads = [];
  for (let left = consumers; left > 0; left -= PER_THREAD) {
    const data = { url, queue, slots: Math.min(left, PER_THREAD), buffers: board.buffers };
    const thread = new Thread(new URL(import.meta.url), { workerData: data });
    thread.on('error', fail);
    await new Promise((resolve) => thread.once('message', resolve));
    threads.push(thread);
  }
  return threads;
}

// What a job carries: 300 bytes as JSON.
function payload(n) {
  const job = { n, voice: 'default', format: 'wav', text: 'Every job carries a line of text to be spoken. '.repeat(6) };
  const spare = JSON.stringify(job).length - 300;
  job.text = job.text.slice(0, job.text.length - spare);
  return job;
}

async function allCompleted(board, target) {
  const giveUp = Date.now() + PATIENCE_MS;
  while (Atomics.load(board.completed, 0) < target) {
    if (Date.now() > giveUp) throw new Error(`${board.completed[0]} of ${target} jobs completed, then nothing more`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function throughput(queue, board, first, jobs) {
  let next = first;
  const caller = async () => {
    while (next < first + jobs) await queue.add('bench', payload(next++));
  };
  const start = now();
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
  const enqueued = now();
  await allCompleted(board, first + jobs);
  return { enqueueSeconds: seconds(start, enqueued), seconds: seconds(start, now()) };
}

// One job every GAP_MS, whatever becomes of the earlier ones; the k-th is due GAP_MS * k after the first.
async function latency(queue, board, first, jobs) {
  if (jobs === 0) return { p50: 0, p99: 0 };
  const asked = new BigInt64Array(jobs);
  const calls = [];
  const start = now();
  for (let k = 0; k < jobs; k += 1) {
    const early = k * GAP_MS - seconds(start, now()) * 1e3;
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const job = payload(first + k);
    asked[k] = now();
    calls.push(queue.add('bench', job));
  }
  await Promise.all(calls);
  await allCompleted(board, first + jobs);
  const waits = Array.from(asked, (at, k) => Number(board.began[first + k] - at) / 1e6).sort((a, b) => a - b);
  const rank = (share) => waits[Math.ceil(share * jobs) - 1];
  return { p50: rank(0.5), p99: rank(0.99) };
}

async function deleteKeys(url, name) {
  const redis = new Redis(url);
  for await (const keys of redis.scanStream({ match: `*${name}*`, count: 1000 })) {
    if (keys.length > 0) await redis.unlink(keys);
  }
  await redis.quit();
}

function version() {
  const entry = createRequire(import.meta.url).resolve('bullmq');
  const root = entry.slice(0, entry.lastIndexOf('/bullmq/') + '/bullmq/'.length);
  return JSON.parse(readFileSync(`${root}package.json`, 'utf8')).version;
}

function readArguments() {
  const text = { type: 'string' };
  const { values } = parseArgs({ options: { redis: text, jobs: text, consumers: text, 'latency-jobs': text } });
  const [jobs, consumers, latencyJobs] = [values.jobs, values.consumers ?? PER_THREAD, values['latency-jobs'] ?? 0].map(
    Number,
  );
  if (!values.redis || !(jobs >= 0) || !(consumers > 0) || !(latencyJobs >= 0)) {
    throw new Error('usage: peer.mjs --redis URL --jobs N --consumers C --latency-jobs M');
  }
  return { url: values.redis, jobs, consumers, latencyJobs };
}

// BullMQ itself would go on trying.
async function mustAnswer(url) {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => {});
  await redis.connect();
  await redis.quit();
}

async function main() {
  const { url, jobs, consumers, latencyJobs } = readArguments();
  await mustAnswer(url);
  const name = `queue-peer-${process.pid}-${Date.now()}`;
  const board = new Board(WARM_UP + jobs + latencyJobs);
  const threads = await startConsumers(url, name, consumers, board);
  const queue = new Queue(name, { connection: new Redis(url, { maxRetriesPerRequest: null }) });
  try {
    await throughput(queue, board, 0, WARM_UP);
    const rate = await throughput(queue, board, WARM_UP, jobs);
    const wait = await latency(queue, board, WARM_UP + jobs, latencyJobs);
    const line = {
      peer: 'bullmq',
      version: version(),
      jobs,
      enqueue_seconds: rate.enqueueSeconds,
      jobs_per_second: jobs / rate.seconds,
      wait_p50_ms: wait.p50,
      wait_p99_ms: wait.p99,
      guarantee: 'at least once: a 30 s lock per active job, renewed; stalled jobs return to the queue',
      shape: 'one process: the producer in one thread, each 5 consumers in one more',
    };
    console.log(JSON.stringify(line));
  } finally {
    const ends = threads.map((thread) => new Promise((resolve) => thread.once('exit', resolve)));
    threads.forEach((thread) => thread.postMessage('stop'));
    await Promise.all(ends);
    await deleteKeys(url, name);
  }
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

if (isMainThread) main().then(() => process.exit(0), fail);
else consume(workerData).catch(fail);
