// Carries out the steps of a Dockerfile in folders, and runs programs from the folder that comes out.
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';

const asRoot = process.getuid?.() === 0;

/** Every path at or below `path`, folders first. */
export function pathsUnder(path) {
  const inside = lstatSync(path).isDirectory()
    ? readdirSync(path).flatMap((name) => pathsUnder(join(path, name)))
    : [];
  return [path, ...inside];
}

/** Builds all stages below `into`, one folder each, from the files of `context`. Returns the folder of the last one. */
export function buildStages(stages, context, into, say) {
  const folders = new Map();
  for (const stage of stages) {
    const folder = join(into, `stage-${stage.name}`);
    mkdirSync(folder);
    folders.set(stage.name, folder);
    for (const step of stage.steps) {
      const directory = join(folder, step.workdir);
      mkdirSync(directory, { recursive: true });
      if (step.name === 'RUN') run(step, directory, say);
      if (step.name === 'COPY') copy(step, folders, folder, context);
    }
  }
  return folders.get(stages.at(-1).name);
}

function run(step, directory, say) {
  say(`RUN ${step.text}`);
  const done = spawnSync('sh', ['-ec', step.text], { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
  if (done.status !== 0) {
    throw new Error(`line ${step.line}: RUN ${step.text} failed\n${done.stdout}${done.stderr}`);
  }
}

function copy(step, folders, folder, context) {
  const words = step.text.split(/\s+/);
  const target = words.pop();
  const from = step.flags.from === undefined ? context : folders.get(step.flags.from);
  if (from === undefined) throw new Error(`line ${step.line}: no stage ${step.flags.from}`);
  const to = join(folder, resolve(step.workdir, target));
  for (const word of words) {
    const source = join(from, word);
    const single = words.length === 1 && !target.endsWith('/');
    const place = statSync(source).isDirectory() || single ? to : join(to, basename(source));
    mkdirSync(dirname(place), { recursive: true });
    cpSync(source, place, { recursive: true, verbatimSymlinks: true });
    if (step.flags.chown !== undefined && asRoot) {
      const [uid, gid] = step.flags.chown.split(':').map(Number);
      for (const path of pathsUnder(place)) lchownSync(path, uid, gid);
    }
  }
}

/** Where the programs of the machine live: they stand for those of the base image. */
const MACHINE = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32', 'etc', 'dev', 'proc'];

/** What is mounted by the program after it is seen by that program alone. */
const OWN_MOUNTS = ['unshare', '--mount', '--propagation', 'private', '--'];

/** Runs what $@ says as the image's user in the folder $1, which is read-only but for its volumes (from $2). */
const ENTER = `
root=$1 volumes=$2 user=$3 group=$4 directory=$5 mounts=$6 names=$7
shift 7
mount --bind "$root" "$root"
for at in $mounts; do
  mount --rbind "/$at" "$root/$at"
  case $at in dev|proc) ;; *) mount -o remount,bind,ro "$root/$at" ;; esac
done
mount -o remount,bind,ro "$root"
for at in $names; do mount --bind "$volumes/$at" "$root/$at"; done
exec chroot "$root" setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs \\
  --inh-caps=-all --bounding-set=-all -- sh -c 'cd "$0" && exec "$@"' "$directory" "$@"
`;

/**
 * A folder made by `buildStages` from which programs can be started as a container engine would: as the image's user,
 * with its environment, its root read-only, and volumes that begin as the image has them. Only root can do all of
 * that. Anyone else runs them as himself, from the folder with its write permission taken away.
 */
export class ImageFolder {
  constructor(folder, image, volumes) {
    this.folder = folder;
    this.image = image;
    this.volumes = volumes;
    this.sealed = asRoot;
    for (const volume of image.volumes) {
      cpSync(join(folder, volume), join(volumes, volume), { recursive: true });
      const { uid, gid, mode } = statSync(join(folder, volume));
      if (asRoot) chownSync(join(volumes, volume), uid, gid);
      chmodSync(join(volumes, volume), mode);
    }
    if (asRoot) this.mounts = this.#mountPoints();
    else for (const path of pathsUnder(folder)) if (!lstatSync(path).isSymbolicLink()) seal(path);
  }

  /** Starts a program; `environment` is added to the image's. */
  start(words, environment) {
    const bin = dirname(process.execPath);
    const paths = `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
    const env = { PATH: paths, ...this.image.env, ...environment };
    const stdio = ['ignore', 'pipe', 'pipe'];
    const { user, workdir, volumes } = this.image;
    if (!this.sealed) {
      const own = Object.fromEntries(
        Object.entries(env).map(([name, value]) => [name, this.#outside(value)]),
      );
      const [program, ...args] = words.map((word) => this.#outside(word));
      return spawn(program, args, { env: { ...own, PATH: paths }, stdio, cwd: this.#outside(workdir) });
    }
    const [uid, gid = uid] = user.split(':');
    const names = volumes.map((volume) => volume.slice(1)).join(' ');
    const settings = [this.folder, this.volumes, uid, gid, workdir, this.mounts.join(' '), names];
    const inside = ['sh', '-ec', ENTER, 'enter', ...settings, ...words];
    // Each program replaces the one before it: signals and the exit code are those of the last.
    const [program, ...args] = [...OWN_MOUNTS, ...inside];
    return spawn(program, args, { env, stdio });
  }

  /** Paths of the image where nothing is mounted over the folder. */
  #outside(word) {
    const volume = this.image.volumes.find((at) => word === at || word.startsWith(`${at}/`));
    if (volume !== undefined) return join(this.volumes, word);
    const inImage = readdirSync(this.folder).some(
      (name) => word === `/${name}` || word.startsWith(`/${name}/`),
    );
    return inImage ? join(this.folder, word) : word;
  }

  #mountPoints() {
    const node = realpathSync(join(dirname(process.execPath), '..')).slice(1);
    const wanted = MACHINE.includes(node.split('/')[0]) ? MACHINE : [...MACHINE, node];
    const mounts = [];
    for (const at of wanted) {
      const kind = lstatSync(`/${at}`, { throwIfNoEntry: false });
      if (kind === undefined) continue;
      if (kind.isSymbolicLink()) symlinkSync(readlinkSync(`/${at}`), join(this.folder, at));
      else {
        mkdirSync(join(this.folder, at), { recursive: true });
        mounts.push(at);
      }
    }
    return mounts;
  }
}

function seal(path) {
  chmodSync(path, lstatSync(path).mode & 0o555);
}
