// Reads a Dockerfile, as far as ours go: an instruction that is not known here is an error, not a silence.

const KNOWN = new Set(
  'ARG FROM WORKDIR COPY RUN ENV USER VOLUME EXPOSE HEALTHCHECK ENTRYPOINT CMD'.split(' '),
);

/** Instructions as { name, flags, text, line }; `text` has its continuation lines joined. */
function instructionsOf(text) {
  const found = [];
  let open = null;
  text.split('\n').forEach((raw, index) => {
    if (/^\s*#/.test(raw) || (open === null && raw.trim() === '')) return;
    const more = raw.endsWith('\\');
    const part = (more ? raw.slice(0, -1) : raw).trim();
    open = open === null ? { line: index + 1, text: part } : { ...open, text: `${open.text} ${part}` };
    if (more) return;
    const [, name, rest] = /^(\S+)\s+(.*)$/.exec(open.text) ?? [];
    if (name === undefined || !KNOWN.has(name))
      throw new Error(`line ${open.line}: ${open.text} is not known here`);
    const [, flagText, value] = /^((?:--\S+\s+)*)(.*)$/.exec(rest);
    const flags = Object.fromEntries(
      flagText
        .split(/\s+/)
        .filter((flag) => flag !== '')
        .map((flag) => /^--([\w-]+)=(.*)$/.exec(flag).slice(1)),
    );
    found.push({ name, flags, text: value, line: open.line });
    open = null;
  });
  if (open !== null) throw new Error(`line ${open.line}: the file ends within ${open.text}`);
  return found;
}

/** `["a", "b"]`; anything else would go through a shell, which swallows signals. */
function execForm({ name, text, line }) {
  let words = null;
  try {
    words = JSON.parse(text);
  } catch {}
  if (!Array.isArray(words) || words.some((word) => typeof word !== 'string')) {
    throw new Error(`line ${line}: ${name} must have the form ["program", "argument"]`);
  }
  return words;
}

/** Stages in order: { name, base, steps }, where a step is a COPY, RUN or WORKDIR with the directory it happens in. */
export function parseDockerfile(text) {
  const args = {};
  const stages = [];
  const fill = (value) =>
    value.replace(/\$\{(\w+)\}/g, (_, name) => {
      if (args[name] === undefined) throw new Error(`no ARG ${name}`);
      return args[name];
    });
  for (const instruction of instructionsOf(text)) {
    const { name, flags, text: value, line } = instruction;
    const stage = stages.at(-1);
    if (name === 'ARG') {
      const [key, preset = ''] = value.split('=');
      args[key] = preset;
      continue;
    }
    if (name === 'FROM') {
      const [, base, , as] = /^(\S+)(\s+AS\s+(\S+))?$/i.exec(fill(value));
      stages.push({ name: as ?? String(stages.length), base, steps: [], workdir: '/', ...emptyImage() });
      continue;
    }
    if (stage === undefined) throw new Error(`line ${line}: ${name} before FROM`);
    if (name === 'WORKDIR') stage.workdir = value;
    if (name === 'WORKDIR' || name === 'COPY' || name === 'RUN') {
      stage.steps.push({ name, flags, text: value, line, workdir: stage.workdir });
    } else if (name === 'ENV') {
      for (const [, key, , quoted, plain] of value.matchAll(/(\w+)=("([^"]*)"|(\S+))/g)) {
        stage.env[key] = quoted ?? plain;
      }
    } else if (name === 'USER') stage.user = value;
    else if (name === 'VOLUME') stage.volumes.push(...value.split(/\s+/));
    else if (name === 'EXPOSE') stage.ports.push(...value.split(/\s+/).map(Number));
    else if (name === 'ENTRYPOINT') stage.entrypoint = execForm(instruction);
    else if (name === 'CMD') stage.cmd = execForm(instruction);
    else if (name === 'HEALTHCHECK') {
      stage.healthcheck = execForm({ ...instruction, text: value.replace(/^CMD\s+/, '') });
    }
  }
  return stages;
}

function emptyImage() {
  return { env: {}, user: '', volumes: [], ports: [], entrypoint: [], cmd: [], healthcheck: [] };
}
