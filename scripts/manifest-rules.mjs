// What must hold between the objects of k8s/, whoever rendered them. Nothing of a Kubernetes cluster is needed.

const NAME = 'gearmesh';
const NAMESPACE = 'some-namespace';
/** A stop also hands over leadership and closes what is left. */
const STOP_MARGIN_SECONDS = 10;
const isSubset = (part, whole) => Object.entries(part ?? {}).every(([key, value]) => whole?.[key] === value);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** The words that a container's program gets, as flags by the key of their option; others are faults. */
function flagsOf(args, environment, options, flagOf, fault) {
  const words = args.map((word) =>
    word.replaceAll(/\$\((\w+)\)/g, (whole, name) => {
      if (environment[name] === undefined) fault(`args name ${whole}, which env does not set`);
      return environment[name] ?? whole;
    }),
  );
  if (words[0] !== 'server') fault(`args begin with ${words[0]}, not with server`);
  const keys = new Map(Object.keys(options).map((key) => [flagOf(key), key]));
  const flags = {};
  for (const word of words.slice(1)) {
    const [, flag, , value] = /^(--[\w-]+)(=(.*))?$/.exec(word) ?? [];
    const key = keys.get(flag);
    if (key === undefined) fault(`args: ${word} is no flag of "gearmesh server"`);
    else flags[key] = value ?? true;
  }
  return flags;
}

function environmentOf(container, imageEnvironment) {
  const fields = { 'metadata.namespace': NAMESPACE };
  const own = (container.env ?? []).map((one) => [
    one.name,
    one.value ?? fields[one.valueFrom?.fieldRef?.fieldPath],
  ]);
  return { ...imageEnvironment, ...Object.fromEntries(own) };
}

class Rules {
  faults = [];

  constructor(objects, facts) {
    this.objects = objects;
    this.facts = facts;
  }

  fault = (message) => this.faults.push(message);

  kind(kind) {
    return this.objects.filter((one) => one.kind === kind);
  }

  only(kind, name = NAME) {
    const found = this.kind(kind).filter((one) => one.metadata.name === name);
    if (found.length !== 1) this.fault(`${found.length} objects ${kind}/${name} instead of one`);
    return found[0];
  }

  check() {
    const seen = new Set();
    for (const { kind, metadata } of this.objects) {
      if (seen.has(`${kind}/${metadata.name}`)) this.fault(`${kind}/${metadata.name} is there twice`);
      seen.add(`${kind}/${metadata.name}`);
    }
    const set = this.only('StatefulSet');
    if (set === undefined) return this.faults;
    const pod = set.spec.template;
    const container = pod.spec.containers[0];
    const ports = new Map(container.ports.map((port) => [port.name, port.containerPort]));
    this.statefulSet(set, pod, container, ports);
    this.services(set, pod, ports);
    this.selectors(set, pod);
    this.network(pod, ports);
    this.monitors(pod, ports);
    this.security(pod, container);
    this.probes(container, ports);
    this.settings(set, pod, container, ports);
    return this.faults;
  }

  statefulSet(set, pod, container, ports) {
    const { spec } = set;
    if (!isSubset(spec.selector.matchLabels, pod.metadata.labels)) {
      this.fault('StatefulSet: its selector does not match the labels of its pods');
    }
    if (spec.podManagementPolicy !== 'Parallel') {
      this.fault('StatefulSet: pods that wait for each other must start in parallel');
    }
    if (ports.size !== container.ports.length) this.fault('container: two ports have one name');
    const volumes = [
      ...(spec.volumeClaimTemplates ?? []).map((v) => v.metadata),
      ...(pod.spec.volumes ?? []),
    ].map((volume) => volume.name);
    const mounts = container.volumeMounts ?? [];
    for (const mount of mounts.filter((one) => !volumes.includes(one.name))) {
      this.fault(`container: volume ${mount.name} is mounted and not declared`);
    }
    for (const name of volumes.filter((one) => !mounts.some((mount) => mount.name === one))) {
      this.fault(`container: volume ${name} is declared and not mounted`);
    }
    const account = this.only('ServiceAccount', pod.spec.serviceAccountName);
    if (account?.automountServiceAccountToken !== false || pod.spec.automountServiceAccountToken !== false) {
      this.fault('ServiceAccount: pods must not get its token');
    }
    if (
      container.resources?.requests?.memory === undefined ||
      container.resources?.limits?.memory === undefined
    ) {
      this.fault('container: memory must be requested and limited');
    }
  }

  services(set, pod, ports) {
    const headless = this.only('Service', set.spec.serviceName);
    if (headless !== undefined) {
      if (headless.spec.clusterIP !== 'None') this.fault(`Service/${set.spec.serviceName} must be headless`);
      if (headless.spec.publishNotReadyAddresses !== true) {
        this.fault(`Service/${set.spec.serviceName} must publish nodes that are not ready`);
      }
    }
    const client = this.only('Service');
    if (client?.spec.publishNotReadyAddresses) this.fault('Service/gearmesh must lead to ready nodes only');
    for (const service of this.kind('Service')) {
      const name = `Service/${service.metadata.name}`;
      if (!isSubset(service.spec.selector, pod.metadata.labels) || same(service.spec.selector ?? {}, {})) {
        this.fault(`${name}: its selector does not match the pods`);
      }
      for (const { name: port, port: number, targetPort } of service.spec.ports) {
        if (port !== targetPort || ports.get(targetPort) !== number) {
          this.fault(`${name}: port ${port} (${number}) is not the container's port ${targetPort}`);
        }
      }
    }
  }

  selectors(set, pod) {
    const budget = this.only('PodDisruptionBudget');
    if (budget !== undefined) {
      if (!same(budget.spec.selector, set.spec.selector)) {
        this.fault('PodDisruptionBudget: its selector is not that of the StatefulSet');
      }
      const spare = Math.floor((set.spec.replicas - 1) / 2);
      const { maxUnavailable } = budget.spec;
      if (!(maxUnavailable >= 1 && maxUnavailable <= spare)) {
        this.fault(`PodDisruptionBudget: ${maxUnavailable} of ${set.spec.replicas} nodes may not be away`);
      }
    }
    const rules = pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    const spreads = [...rules, ...(pod.spec.topologySpreadConstraints ?? [])];
    if (!rules.some((rule) => rule.topologyKey === 'kubernetes.io/hostname')) {
      this.fault('StatefulSet: two nodes could share a machine');
    }
    for (const { labelSelector, topologyKey } of spreads) {
      if (!same(labelSelector, set.spec.selector)) {
        this.fault(`StatefulSet: spreading over ${topologyKey} does not select its own pods`);
      }
    }
  }

  network(pod, ports) {
    const policy = this.only('NetworkPolicy');
    if (policy === undefined) return;
    if (!isSubset(policy.spec.podSelector.matchLabels, pod.metadata.labels)) {
      this.fault('NetworkPolicy: it does not select the pods');
    }
    if (!policy.spec.policyTypes?.includes('Ingress'))
      this.fault('NetworkPolicy: it is not for what comes in');
    const open = new Set();
    for (const rule of policy.spec.ingress) {
      if ((rule.ports ?? []).length === 0)
        this.fault('NetworkPolicy: a rule without ports opens all of them');
      for (const { port } of rule.ports ?? []) {
        open.add(port);
        if (!ports.has(port)) this.fault(`NetworkPolicy: the container has no port ${port}`);
        if (port !== 'peer') continue;
        const own = (rule.from ?? []).every(
          (from) =>
            same(Object.keys(from), ['podSelector']) && same(from.podSelector, policy.spec.podSelector),
        );
        if (!own || (rule.from ?? []).length === 0) {
          this.fault('NetworkPolicy: others than the nodes reach the peer port');
        }
      }
    }
    for (const name of ports.keys())
      if (!open.has(name)) this.fault(`NetworkPolicy: nobody reaches port ${name}`);
  }

  monitors(pod, ports) {
    for (const monitor of this.kind('PodMonitor')) {
      if (!isSubset(monitor.spec.selector.matchLabels, pod.metadata.labels)) {
        this.fault('PodMonitor: its selector does not match the pods');
      }
      for (const { port, path, honorLabels } of monitor.spec.podMetricsEndpoints) {
        if (!ports.has(port)) this.fault(`PodMonitor: the container has no port ${port}`);
        if (!this.facts.paths.has(path)) this.fault(`PodMonitor: the node does not serve ${path}`);
        if (honorLabels !== true) this.fault('PodMonitor: the label "namespace" of jobs would be lost');
      }
    }
  }

  security(pod, container) {
    const { securityContext: ofPod = {} } = pod.spec;
    const { securityContext: own = {} } = container;
    const [uid, gid] = this.facts.image.user.split(':').map(Number);
    const wanted = [
      [ofPod.runAsNonRoot === true, 'runAsNonRoot'],
      [ofPod.runAsUser === uid && ofPod.runAsGroup === gid, `the image's user ${uid}:${gid}`],
      [ofPod.fsGroup === gid, `fsGroup ${gid}, or the volume cannot be written`],
      [ofPod.seccompProfile?.type === 'RuntimeDefault', 'the seccomp profile RuntimeDefault'],
      [own.allowPrivilegeEscalation === false, 'allowPrivilegeEscalation: false'],
      [own.readOnlyRootFilesystem === true, 'readOnlyRootFilesystem'],
      [own.privileged !== true, 'no privileges'],
      [same(own.capabilities, { drop: ['ALL'] }), 'all capabilities dropped'],
    ];
    for (const [holds, what] of wanted) if (!holds) this.fault(`securityContext: ${what}`);
  }

  probes(container, ports) {
    const wanted = { startupProbe: '/startupz', readinessProbe: '/readyz', livenessProbe: '/livez' };
    for (const [probe, path] of Object.entries(wanted)) {
      const get = container[probe]?.httpGet;
      if (get?.path !== path || get.port !== 'http')
        this.fault(`${probe}: it must ask for ${path} at port http`);
      if (!this.facts.paths.has(get?.path)) this.fault(`${probe}: the node does not serve ${get?.path}`);
      if (!ports.has(get?.port)) this.fault(`${probe}: the container has no port ${get?.port}`);
    }
  }

  /** Loads the settings as each pod would. */
  settings(set, pod, container, ports) {
    const { config, image } = this.facts;
    const environment = environmentOf(container, image.env);
    const flags = flagsOf(container.args ?? [], environment, config.OPTIONS, config.flagOf, this.fault);
    const suffix = `.${set.spec.serviceName}.${NAMESPACE}.svc`;
    const names = Array.from({ length: set.spec.replicas }, (_, i) => `${set.metadata.name}-${i}`);
    for (const name of names) {
      let loaded;
      try {
        loaded = config.loadServerConfig({ flags, environment }, name);
      } catch (error) {
        for (const problem of error.problems ?? [error.stack]) this.fault(`settings of ${name}: ${problem}`);
        continue;
      }
      const wrong = (message) => this.fault(`settings of ${name}: ${message}`);
      const { id, peers, advertise, values, warnings } = loaded;
      for (const warning of warnings) wrong(warning);
      if (id !== name) wrong(`its id is ${id}`);
      const expected = names.map((host) => ({ name: host, host: host + suffix, port: ports.get('peer') }));
      if (!same(peers, expected))
        wrong(`its peers are ${peers.map((p) => `${p.host}:${p.port}`).join(', ')}`);
      for (const [which, address] of Object.entries(advertise)) {
        if (address.host !== name + suffix) wrong(`other pods do not reach it at ${which} ${address.host}`);
        if (address.port !== ports.get(which)) wrong(`it advertises port ${address.port} for ${which}`);
        const listen = values[`listen-${which}`];
        if (listen.host !== '0.0.0.0' || listen.port !== ports.get(which)) {
          wrong(`it listens on ${listen.host}:${listen.port} for ${which}`);
        }
      }
      const mount = container.volumeMounts?.find((one) => values['data-dir'].startsWith(`${one.mountPath}/`));
      if (mount === undefined) wrong(`its data directory ${values['data-dir']} is not below a volume`);
      const stop = values['drain-timeout-ms'] / 1_000 + STOP_MARGIN_SECONDS;
      if (!(pod.spec.terminationGracePeriodSeconds >= stop)) {
        wrong(`terminationGracePeriodSeconds must be at least ${stop}, or an orderly stop is cut short`);
      }
    }
  }
}

/**
 * What is wrong with `objects`, as sentences. `facts`: `config` (the exports of src/config), `paths` (a set of those
 * that a node serves over HTTP) and `image` (the last stage of the Dockerfile).
 */
export function manifestFaults(objects, facts) {
  return new Rules(objects, facts).check();
}
