// Checks deploy/Dockerfile without a container engine: carries out its steps in an empty folder, and starts the node
// from there as the image's user with a read-only root. What it cannot check: the base image itself.
import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, credentials, getChannelzServiceDefinition } from '@grpc/grpc-js';
import { parseDockerfile } from './dockerfile.mjs';
import { buildStages, ImageFolder, pathsUnder } from './image-folder.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const READY_MS = 60_000;
const STOP_MS = 40_000;
/** Tries to write where nobody should be able to, and where the node must be able to. */
const WRITES = `
const { writeFileSync } = require('node:fs');
const can = (path) => { try { writeFileSync(path, ''); return true; } catch { return false; } };
console.log(JSON.stringify(process.argv.slice(1).map((folder) => can(folder + '/written'))));`;

const say = (line) => process.stdout.write(`${line}\n`);
const expect = (truth, message, detail = '') => {
  if (!truth) throw new Error(`not so: ${message}\n${detail}`);
  say(`ok: ${message}`);
};

async function freePort() {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A started program: what it wrote, and its exit code once `ended` resolves. */
function follow(child) {
  const program = { child, output: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes) => {
      program.output += bytes;
    });
  }
  program.ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  return program;
}

async function finish(folder, words, environment) {
  const program = follow(folder.start(words, environment));
  return { code: await program.ended, output: program.output };
}

async function untilReady(program, port) {
  const end = Date.now() + READY_MS;
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      (answer) => answer.status,
      (error) => error.cause?.code ?? String(error),
    );
    if (status === 200) return;
    if (program.child.exitCode !== null || Date.now() > end) {
      throw new Error(`the node did not become ready (last answer: ${status})`);
    }
    await pause(100);
  }
}

function checkContents(folder, image) {
  const files = pathsUnder(folder).filter((path) => lstatSync(path).isFile());
  const names = files.map((path) => `/${relative(folder, path)}`);
  const bundle = '/opt/gearmesh/';
  const others = names.filter((name) => !name.startsWith(bundle));
  expect(others.length === 0, 'the image adds nothing but the bundle', others.join(' '));
  for (const name of ['gearmesh.mjs', 'package.json', 'LICENSE', 'NOTICE', 'THIRD-PARTY-LICENSES']) {
    expect(names.includes(bundle + name), `it holds ${name}`);
  }
  expect(!names.some((name) => name.includes('node_modules')), 'it holds no node_modules');
  expect(/^[1-9]\d*(:[1-9]\d*)?$/.test(image.user), `its user is a number and not root: ${image.user}`);
  expect(
    [7730, 7731, 7732, 4730].every((port) => image.ports.includes(port)),
    'it names its ports',
  );
}

async function checkLife(folder) {
  const { image } = folder;
  const [grpc, peer, http] = [await freePort(), await freePort(), await freePort()];
  const environment = {
    GEARMESH_LISTEN_GRPC: `0.0.0.0:${grpc}`,
    GEARMESH_LISTEN_PEER: `127.0.0.1:${peer}`,
    GEARMESH_LISTEN_HTTP: `0.0.0.0:${http}`,
  };
  const refused = await finish(folder, [...image.entrypoint, ...image.cmd], environment);
  expect(refused.code !== 0 && refused.output.includes('--insecure'), 'it does not open itself by default');

  const node = follow(folder.start([...image.entrypoint, ...image.cmd, '--insecure'], environment));
  try {
    await untilReady(node, http);
    say('ok: a node on its own becomes ready');
    if (folder.sealed) {
      const status = readFileSync(`/proc/${node.child.pid}/status`, 'utf8');
      const uids = /^Uid:\s+(.*)$/m.exec(status)[1].split(/\s+/);
      expect(
        uids.every((uid) => uid === image.user.split(':')[0]),
        `the node is the process that was started, and runs as ${uids[0]}`,
      );
    }
    const places = ['/opt/gearmesh', ...(folder.sealed ? ['', '/tmp', '/usr'] : []), ...image.volumes];
    const writes = await finish(folder, ['node', '-e', WRITES, ...places], environment);
    const wanted = places.map((place) => image.volumes.includes(place));
    expect(
      writes.output.trim() === JSON.stringify(wanted),
      `only ${image.volumes} can be written (${writes.output.trim()})`,
    );
    const healthy = await finish(folder, image.healthcheck, environment);
    expect(healthy.code === 0, 'HEALTHCHECK succeeds while it runs', healthy.output);
    const submit = ['submit', 'check', 'hello', '--background', '--endpoint', `127.0.0.1:${grpc}`];
    const submitted = await finish(folder, [...image.entrypoint, ...submit], environment);
    expect(submitted.code === 0, `it accepts a job: ${submitted.output.trim()}`);

    // grpc-js reads the proto of channelz from a file of the bundle.
    const servers = await channelzServers(`127.0.0.1:${grpc}`);
    expect(servers > 0, 'channelz answers');

    node.child.kill('SIGTERM');
    const code = await Promise.race([
      node.ended,
      pause(STOP_MS, `nothing within ${STOP_MS} ms`, { ref: false }),
    ]);
    expect(code === 0, `SIGTERM ends it in good order: exit code ${code}`);
    const dead = await finish(folder, image.healthcheck, environment);
    expect(dead.code !== 0, 'HEALTHCHECK fails when it does not run');
  } catch (error) {
    error.message += `\nits log:\n${node.output}`;
    throw error;
  } finally {
    node.child.kill('SIGKILL');
    await node.ended;
  }
}

/** How many gRPC servers the process has, as it says itself. */
async function channelzServers(address) {
  const { path, requestSerialize, responseDeserialize } = getChannelzServiceDefinition().GetServers;
  const client = new Client(address, credentials.createInsecure());
  try {
    const answer = await new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, (error, value) =>
        error === null ? resolve(value) : reject(error),
      );
    });
    return answer.server.length;
  } finally {
    client.close();
  }
}

/** Mounts are made where only the programs started here see them. Were one seen here, it would be emptied as well. */
function remove(directory) {
  const mounts = '/proc/self/mountinfo';
  if (existsSync(mounts) && readFileSync(mounts, 'utf8').includes(directory)) {
    process.stderr.write(`check:image: there are mounts below ${directory}: unmount and remove it by hand\n`);
    process.exitCode = 1;
    return;
  }
  for (const path of pathsUnder(directory)) if (lstatSync(path).isDirectory()) chmodSync(path, 0o755);
  rmSync(directory, { recursive: true, force: true });
}

const directory = mkdtempSync(join(tmpdir(), 'gearmesh-image-'));
try {
  const stages = parseDockerfile(readFileSync(join(root, 'deploy/Dockerfile'), 'utf8'));
  const image = stages.at(-1);
  const built = buildStages(stages, root, directory, say);
  checkContents(built, image);
  const volumes = join(directory, 'volumes');
  mkdirSync(volumes);
  const folder = new ImageFolder(built, image, volumes);
  if (!folder.sealed) say('skipped: another user and a read-only root, which only root can arrange');
  await checkLife(folder);
  say('the image is in order, as far as that shows without a container engine');
} catch (error) {
  process.stderr.write(`check:image: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  remove(directory);
}
