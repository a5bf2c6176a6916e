// Makes docs/api.md from the protos and docs/errors.md from the error table; with --check fails when they are stale.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { loadTs, root } from './load-ts.mjs';
import { writePage } from './page.mjs';

const NOTE = '<!-- Made by scripts/docs-api.mjs. Do not edit. -->';
const FILES = ['common', 'job', 'worker', 'queue', 'cluster'];

/** Numbers that descriptor.proto gives to the parts of a path to a comment. */
const PATH = { message: 4, enum: 5, service: 6, messageField: 2, enumValue: 2, method: 2, package: 2 };

function readProtos() {
  const done = spawnSync(
    join(root, 'node_modules/.bin/buf'),
    ['build', '--as-file-descriptor-set', '-o', '-'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 64 << 20,
    },
  );
  if (done.status !== 0) process.exit(done.status ?? 1);
  const set = fromBinary(FileDescriptorSetSchema, done.stdout);
  return FILES.map((name) => set.file.find((file) => file.name === `gearmesh/v1/${name}.proto`));
}

/** From a path such as `4.0.2.1` to the comment there, as one paragraph per block. */
function comments(file) {
  const found = new Map();
  for (const location of file.sourceCodeInfo?.location ?? []) {
    found.set(location.path.join('.'), clean(location.leadingComments));
    if (location.path.join('.') === '12')
      found.set(
        'file',
        location.leadingDetachedComments.concat(location.leadingComments).map(clean).join('\n'),
      );
  }
  return (...path) => found.get(path.join('.')) ?? '';
}

function clean(text) {
  return text
    .split('\n')
    .map((line) => line.replace(/^ /, '').trimEnd())
    .join('\n')
    .trim();
}

/** In a table: one line, with nothing that ends the cell. */
function cell(text) {
  return text.replace(/\s*\n\s*/g, ' ').replaceAll('|', '\\|');
}

const anchor = (name) => name.toLowerCase().replace(/[^a-z0-9_-]/g, '');

function link(typeName) {
  const name = typeName.replace(/^\./, '');
  if (!name.startsWith('gearmesh.v1.')) return `\`${name}\``;
  const short = name.slice('gearmesh.v1.'.length);
  return `[${short}](#${anchor(short)})`;
}

function typeOf(message, field) {
  if (field.typeName !== '') {
    const nested = message.nestedType.find((type) =>
      field.typeName.endsWith(`.${message.name}.${type.name}`),
    );
    if (nested?.options?.mapEntry) {
      const [key, value] = nested.field.map((part) => FieldDescriptorProto_Type[part.type].toLowerCase());
      return `map of ${key} to ${value}`;
    }
  }
  const one =
    field.typeName === '' ? FieldDescriptorProto_Type[field.type].toLowerCase() : link(field.typeName);
  if (field.label === FieldDescriptorProto_Label.REPEATED) return `repeated ${one}`;
  return field.proto3Optional ? `optional ${one}` : one;
}

function service(file, comment) {
  return file.service.flatMap((one, s) => [
    `### ${one.name}`,
    '',
    comment(PATH.service, s),
    '',
    ...one.method.flatMap((method, m) => {
      const request = `${method.clientStreaming ? 'stream of ' : ''}${link(method.inputType)}`;
      const answer = `${method.serverStreaming ? 'stream of ' : ''}${link(method.outputType)}`;
      return [
        `#### ${method.name}`,
        '',
        `${request} → ${answer}`,
        '',
        comment(PATH.service, s, PATH.method, m),
        '',
      ];
    }),
  ]);
}

function messages(file, comment) {
  return file.messageType.flatMap((message, i) => [
    `### ${message.name}`,
    '',
    comment(PATH.message, i),
    '',
    ...(message.field.length === 0
      ? []
      : [
          '| field | type | |',
          '|---|---|---|',
          ...message.field.map(
            (field, f) =>
              `| \`${field.name}\` | ${typeOf(message, field)} | ${cell(comment(PATH.message, i, PATH.messageField, f))} |`,
          ),
          '',
        ]),
  ]);
}

function enums(file, comment) {
  return file.enumType.flatMap((one, i) => [
    `### ${one.name}`,
    '',
    comment(PATH.enum, i),
    '',
    '| value | number | |',
    '|---|---|---|',
    ...one.value.map(
      (value, v) =>
        `| \`${value.name}\` | ${value.number} | ${cell(comment(PATH.enum, i, PATH.enumValue, v))} |`,
    ),
    '',
  ]);
}

function apiPage(files) {
  const lines = ['# The gRPC API', '', NOTE, ''];
  lines.push(
    'Package `gearmesh.v1`; the protos are under `proto/gearmesh/v1`. A node also serves `grpc.health.v1`, server',
    'reflection (v1 and v1alpha) and channelz. `proto/service_config.json` is a service config for clients in any',
    'language: it retries what is safe to repeat. Errors are explained in [errors.md](errors.md).',
    '',
  );
  for (const file of files) {
    const comment = comments(file);
    const name = file.name.split('/').at(-1);
    lines.push(`## ${name}`, '', comment('file'), '');
    lines.push(...service(file, comment), ...messages(file, comment), ...enums(file, comment));
  }
  return `${lines
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trimEnd()}\n`;
}

function errorsPage(ERRORS, GRPC_STATUS) {
  const rows = Object.entries(ERRORS).map(
    ([code, { message, retryable, next }]) =>
      `| \`${code}\` | \`${status[GRPC_STATUS[code]]}\` | ${retryable ? 'yes' : 'no'} | ${cell(message)} | ${cell(next)} |`,
  );
  return `# Errors

${NOTE}

Every error has a reason from this table. Over gRPC it is the \`reason\` of the \`google.rpc.ErrorInfo\` (domain
\`gearmesh\`) in the trailer \`grpc-status-details-bin\`; a \`BadRequest\` beside it names each bad field, a \`RetryInfo\` says
how long to wait where waiting helps, and the metadata name the limit that was reached (\`limit\`, \`value\`).

The metadata always hold \`outcome\`: \`NOT_APPLIED\`, the call changed nothing; or \`UNKNOWN\`, it may have, and may still.
\`UNAVAILABLE\` from a server always means \`NOT_APPLIED\`; an unknown outcome is \`ABORTED\` with \`OUTCOME_UNKNOWN\`. A client
library also says \`UNAVAILABLE\` by itself when a connection drops after sending: then there is no \`ErrorInfo\`, and the
outcome is unknown too. A call of a service or method that the server does not have is refused by its gRPC library alone:
\`UNIMPLEMENTED\` without an \`ErrorInfo\`, and nothing was changed.

Retry: whether the same call may succeed later without being changed. When a deadline passes, \`CANCELLED\` comes with the
gRPC status \`DEADLINE_EXCEEDED\`.

| reason | gRPC status | retry | what it means | what to do |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

const { ERRORS } = await loadTs('src/core/errors.ts');
const { GRPC_STATUS } = await loadTs('src/api/errors.ts');
writePage('docs/api.md', apiPage(readProtos()));
writePage('docs/errors.md', errorsPage(ERRORS, GRPC_STATUS));
