import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../../support/root.js';

/** One stage of a Dockerfile, as scripts/dockerfile.mjs reads it. */
export interface Stage {
  readonly name: string;
  readonly base: string;
  readonly steps: readonly { readonly name: string; readonly text: string; readonly workdir: string }[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly volumes: readonly string[];
  readonly ports: readonly number[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly healthcheck: readonly string[];
}

/** Scripts are plain JavaScript; the caller says what is in one. */
export async function script<T>(name: string): Promise<T> {
  const module: unknown = await import(pathToFileURL(join(ROOT, 'scripts', name)).href);
  return module as T;
}

export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

export async function parseDockerfile(text: string): Promise<readonly Stage[]> {
  const { parseDockerfile: parse } = await script<{ parseDockerfile(text: string): readonly Stage[] }>(
    'dockerfile.mjs',
  );
  return parse(text);
}
