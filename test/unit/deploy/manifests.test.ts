import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import * as config from '../../../src/config/index.js';
import { parseDockerfile, type Stage, script, textOf } from './scripts.js';

/** As YAML has it: any of these rules may be about anything in it. */
type Tree = { [key: string]: Tree } & Tree[] & (string | number | boolean | undefined);

const { manifestFaults } = await script<{
  manifestFaults(
    objects: readonly Tree[],
    facts: { config: typeof config; image: Stage; paths: ReadonlySet<string> },
  ): string[];
}>('manifest-rules.mjs');
const image = (await parseDockerfile(textOf('deploy/Dockerfile'))).at(-1)!;

function objects(): Tree[] {
  const { resources } = parse(textOf('k8s/base/kustomization.yaml')) as { resources: string[] };
  const files = [...resources.map((name) => `k8s/base/${name}`), 'k8s/components/monitoring/podmonitor.yaml'];
  return files.flatMap((path) => parseAllDocuments(textOf(path)).map((one) => one.toJS() as Tree));
}

function faults(list: readonly Tree[], paths = ['/metrics', '/livez', '/readyz', '/startupz']): string[] {
  return manifestFaults(list, { config, image, paths: new Set(paths) });
}

/** Changes the object of this kind (and name) and says what is found then. */
function after(kind: string, change: (object: Tree) => void): string {
  const list = objects();
  const [wanted, name = 'gearmesh'] = kind.split('/');
  const found = list.find((one) => String(one.kind) === wanted && String(one.metadata?.name) === name);
  change(found!);
  return faults(list).join('\n');
}

const container = (set: Tree): Tree => set.spec!.template!.spec!.containers![0]!;
const argument = (set: Tree, from: string, to: string): void => {
  const args = container(set).args as unknown as string[];
  expect(args.some((word) => word.includes(from))).toBe(true);
  args.forEach((word, i) => {
    args[i] = word.replace(from, to);
  });
};
/** Sets what lies at a path of keys, e.g. `spec.replicas`. */
const set =
  (path: string, value: unknown) =>
  (object: Tree): void => {
    const keys = path.split('.');
    const last = keys.pop()!;
    let at = object;
    for (const key of keys) at = at[key]!;
    if (value === undefined) delete at[last];
    else (at as Record<string, unknown>)[last] = value;
  };

describe('the rules for k8s/', () => {
  it('find nothing wrong with the base', () => {
    expect(faults(objects())).toEqual([]);
  });

  const POD = 'spec.template.spec';
  const C = `${POD}.containers.0`;
  it.each<[string, string, (object: Tree) => void, string]>([
    ['a label', 'StatefulSet', set('spec.template.metadata.labels', { a: 'b' }), 'does not match the labels'],
    ['order', 'StatefulSet', set('spec.podManagementPolicy', 'OrderedReady'), 'in parallel'],
    ['a mount', 'StatefulSet', set(`${C}.volumeMounts.0.name`, 'x'), 'volume x is mounted and not declared'],
    ['a path of data', 'StatefulSet', set(`${C}.volumeMounts.0.mountPath`, '/x'), 'not below a volume'],
    ['a service', 'StatefulSet', set('spec.serviceName', 'x'), '0 objects Service/x'],
    ['grace', 'StatefulSet', set(`${POD}.terminationGracePeriodSeconds`, 20), 'must be at least 30'],
    [
      'no grace',
      'StatefulSet',
      set(`${POD}.terminationGracePeriodSeconds`, undefined),
      'must be at least 30',
    ],
    ['permission', 'StatefulSet', (s) => argument(s, '--insecure', '--insecure=false'), 'can be reached'],
    [
      'long drain',
      'StatefulSet',
      (s) => argument(s, '--cluster-name=gearmesh', '--drain-timeout-ms=60s'),
      '70',
    ],
    ['replicas', 'StatefulSet', set('spec.replicas', 5), 'gearmesh-4: id = "gearmesh-4"'],
    ['fewer', 'StatefulSet', (s) => argument(s, '--replicas=3', '--replicas=2'), 'gearmesh-2: id ='],
    ['a flag', 'StatefulSet', (s) => argument(s, '--insecure', '--insecur'), 'is no flag'],
    ['a value', 'StatefulSet', (s) => argument(s, '--replicas=3', '--replicas=x'), 'replicas = "x"'],
    ['namespace', 'StatefulSet', (s) => argument(s, '.$(POD_NAMESPACE).svc', ''), 'its peers are'],
    ['a variable', 'StatefulSet', (s) => argument(s, '$(POD_NAMESPACE)', '$(X)'), 'which env does not set'],
    [
      'loopback',
      'StatefulSet',
      (s) => argument(s, 'grpc=0.0.0.0', 'grpc=127.0.0.1'),
      'other pods do not reach',
    ],
    ['a port', 'StatefulSet', (s) => argument(s, 'http=0.0.0.0:7732', 'http=0.0.0.0:7733'), '7733 for http'],
    ['variables', 'StatefulSet', set(`${C}.env.1.name`, 'GEARMESH_NONE'), 'GEARMESH_NONE names no option'],
    ['a probe', 'StatefulSet', set(`${C}.livenessProbe.httpGet.path`, '/readyz'), 'livenessProbe: it must'],
    ['a probed port', 'StatefulSet', set(`${C}.readinessProbe.httpGet.port`, 'web'), 'has no port web'],
    ['root', 'StatefulSet', set(`${POD}.securityContext.runAsNonRoot`, false), 'runAsNonRoot'],
    ['a user', 'StatefulSet', set(`${POD}.securityContext.runAsUser`, 1000), "the image's user"],
    ['seccomp', 'StatefulSet', set(`${POD}.securityContext.seccompProfile`, undefined), 'seccomp'],
    ['writing', 'StatefulSet', set(`${C}.securityContext.readOnlyRootFilesystem`, false), 'readOnlyRoot'],
    ['capabilities', 'StatefulSet', set(`${C}.securityContext.capabilities`, { drop: [] }), 'capabilities'],
    ['memory', 'StatefulSet', set(`${C}.resources.limits`, undefined), 'memory must be'],
    ['one machine', 'StatefulSet', set(`${POD}.affinity`, undefined), 'share a machine'],
    ['a token', 'ServiceAccount', set('automountServiceAccountToken', true), 'must not get its token'],
    ['a headless service', 'Service/gearmesh-peers', set('spec.clusterIP', undefined), 'must be headless'],
    ['readiness', 'Service/gearmesh-peers', set('spec.publishNotReadyAddresses', false), 'not ready'],
    ['a selector', 'Service', set('spec.selector', {}), 'does not match the pods'],
    ['a target', 'Service', set('spec.ports.0.targetPort', 'http'), 'is not the container'],
    ['a number', 'Service', set('spec.ports.0.port', 80), 'port grpc (80)'],
    ['a budget', 'PodDisruptionBudget', set('spec.maxUnavailable', 2), '2 of 3 nodes may not be away'],
    ['its selector', 'PodDisruptionBudget', set('spec.selector', { matchLabels: {} }), 'its selector'],
    ['a wide policy', 'NetworkPolicy', set('spec.ingress.0.from.0.podSelector', {}), 'reach the peer port'],
    ['an open policy', 'NetworkPolicy', set('spec.ingress.0.from', undefined), 'reach the peer port'],
    [
      'a closed port',
      'NetworkPolicy',
      set('spec.ingress.2', { ports: [{ port: 'x' }] }),
      'nobody reaches port http',
    ],
    ['all ports', 'NetworkPolicy', set('spec.ingress.1.ports', undefined), 'opens all of them'],
    ['a monitor', 'PodMonitor', set('spec.podMetricsEndpoints.0.port', 'x'), 'has no port x'],
    ['its labels', 'PodMonitor', set('spec.podMetricsEndpoints.0.honorLabels', false), 'would be lost'],
  ])('find a wrong %s', (_what, kind, change, message) => {
    expect(after(kind, change)).toContain(message);
  });

  it('find a missing object, a double one, and a path that is not served', () => {
    const without = objects().filter((one) => String(one.kind) !== 'NetworkPolicy');
    expect(faults(without)).toEqual(['0 objects NetworkPolicy/gearmesh instead of one']);
    expect(faults([...objects(), objects()[0]!])).toContain('ServiceAccount/gearmesh is there twice');
    expect(faults(objects(), ['/metrics', '/livez', '/readyz'])).toEqual([
      'startupProbe: the node does not serve /startupz',
    ]);
  });
});
