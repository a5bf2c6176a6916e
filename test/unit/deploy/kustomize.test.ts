import { expect, it } from 'vitest';
import { script } from './scripts.js';

interface Found {
  readonly name: string;
  readonly baseOnly?: boolean;
}

const { shortcomings } = await script<{
  shortcomings(
    seen: { found: Found[]; missing: { name: string; why: string; possible: boolean }[] },
    strict: boolean,
  ): string[];
}>('kustomize.mjs');

/** Goal: the step that checks the manifests cannot pass without having rendered them. */
const noGo = [4, 5].map((major) => ({ name: `kustomize v${major}`, why: 'there is no Go', possible: false }));
const kubectl = { name: 'kubectl 1.30' };

it('is not content where nothing renders', () => {
  for (const strict of [false, true]) {
    expect(shortcomings({ found: [], missing: noGo }, strict)).toEqual([
      expect.stringContaining('nothing here can render'),
    ]);
  }
});

it('is not content with a kubectl that is too old for the overlays', () => {
  const old = { name: 'kubectl 1.20', baseOnly: true };
  expect(shortcomings({ found: [old], missing: noGo }, false)).toHaveLength(1);
  expect(shortcomings({ found: [old, kubectl], missing: noGo }, true)).toEqual([]);
});

it('in CI is not content without a release that could be had', () => {
  const missing = [{ name: 'kustomize v4.5.7', why: 'the proxy did not answer', possible: true }];
  expect(shortcomings({ found: [kubectl], missing }, false)).toEqual([]);
  expect(shortcomings({ found: [kubectl], missing }, true)).toEqual([
    'kustomize v4.5.7 could not be built: the proxy did not answer',
  ]);
});
