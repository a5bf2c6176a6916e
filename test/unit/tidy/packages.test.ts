/** What is installed is what was tested, wherever it is installed; and what is published is the bundle. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SDK_VERSION } from '../../../src/worker/version.js';
import { ROOT } from './source.js';

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const about = JSON.parse(text('package.json')) as {
  readonly version: string;
  readonly private?: boolean;
  readonly allowScripts: Readonly<Record<string, boolean>>;
};
const lock = JSON.parse(text('package-lock.json')) as {
  readonly version: string;
  readonly packages: Readonly<Record<string, Locked>>;
};

/** Whether npm would ever install it on the systems that the image and most people have. */
function meantFor(one: Locked): boolean {
  const takes = (list: readonly string[] | undefined, ...wanted: string[]): boolean =>
    list === undefined || wanted.some((value) => list.includes(value));
  return takes(one.os, 'linux') && takes(one.cpu, 'x64', 'arm64') && takes(one.libc, 'glibc');
}

/** Paths of packages from a registry that the lockfile does not pin by a hash of their content. */
function unpinned(packages: Readonly<Record<string, Locked>>): string[] {
  return Object.entries(packages)
    .filter(([path, one]) => /(^|\/)node_modules\//.test(path) && !path.includes('/vendor/') && !one.link)
    .filter(([, one]) => !/^sha512-[\w+/]{86}==$/.test(one.integrity ?? ''))
    .filter(([, one]) => !one.optional || meantFor(one))
    .map(([path]) => path);
}

describe('the lockfile', () => {
  test('pins every package by its hash, but optional ones of other systems', () => {
    expect(unpinned(lock.packages)).toEqual([]);
  });

  test.each<[string, Locked]>([
    ['a package without a hash', {}],
    ['one with a weak hash', { integrity: 'sha1-abc' }],
    ['an optional one', { optional: true, os: ['linux'], cpu: ['arm64'], libc: ['glibc'] }],
    ['one of another system that is not optional', { os: ['win32'] }],
  ])('%s is found', (_, one) => {
    expect(unpinned({ 'node_modules/a': one })).toEqual(['node_modules/a']);
  });

  test.each<[string, string, Locked]>([
    ['an optional one of another system', 'node_modules/a', { optional: true, os: ['win32'] }],
    ['a folder of this repository', 'vendor/stubs/a', {}],
    ['a link', 'node_modules/a', { link: true }],
  ])('%s is in order', (_, path, one) => {
    expect(unpinned({ [path]: one })).toEqual([]);
  });

  test('no package runs a script when it is installed, and package.json says so of each that has one', () => {
    const scripted = Object.entries(lock.packages)
      .filter(([, one]) => one.hasInstallScript)
      .map(([path]) => path.replace(/.*node_modules\//, ''))
      // The project itself: it builds.
      .filter((name) => name !== '');
    expect(Object.keys(about.allowScripts).sort()).toEqual([...new Set(scripted)].sort());
    expect(new Set(Object.values(about.allowScripts))).toEqual(new Set([false]));
  });
});

describe('the version', () => {
  test('is the same wherever it stands', () => {
    expect(SDK_VERSION).toBe(about.version);
    expect(lock.version).toBe(about.version);
    expect(lock.packages['']?.version).toBe(about.version);
    expect(text('deploy/compose.yaml')).toContain(`image: gearmesh:${about.version}\n`);
    expect(text('k8s/overlays/example/kustomization.yaml')).toContain(`newTag: ${about.version}\n`);
  });
});

test('the repository itself is not published: it holds more than the Raft port', () => {
  expect(about.private).toBe(true);
});
