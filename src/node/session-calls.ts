import { createHash } from 'node:crypto';
import type { Random } from '../base/random.js';
import { GearmeshError } from '../core/errors.js';
import type { Core } from '../core/interface.js';
import type { CommandResult } from '../core/types.js';
import { refusalError } from './answers.js';
import type { Engine } from './engine.js';
import type { AttachSession, OpenSession, SessionPort, WorkerSession } from './interface.js';

const SECRET_BYTES = 16;

/** What the replicated state keeps of a session's secret. */
function secretDigest(secret: Uint8Array): Uint8Array {
  return createHash('sha256').update(secret).digest().subarray(0, 16);
}

/** The session object is made while the command is applied, so that no assignment of the same apply is missed. */
export function openSession(
  engine: Engine,
  random: Random,
  o: OpenSession,
  port: SessionPort,
): Promise<WorkerSession> {
  const secret = random.bytes(SECRET_BYTES);
  const digest = secretDigest(secret);
  return new Promise((resolve, reject) => {
    engine.origin.propose({
      bytes:
        256 +
        (o.namespace.length + o.name.length) * 3 +
        o.functions.reduce((n, f) => n + f.name.length * 3 + 24, 0),
      repeatable: false,
      encode: (builder) => {
        builder.sessionOpen({
          namespace: o.namespace,
          name: o.name,
          secretDigest: digest,
          functions: o.functions,
          resumable: o.resumable,
          credit: o.credit,
        });
      },
      command: (_, result) => {
        if (result.refusal !== null) {
          reject(refused(result));
          return;
        }
        resolve(
          engine.sessions.add({
            id: result.value,
            epoch: result.epoch,
            secret,
            namespace: o.namespace,
            port,
            lostTokens: [],
            heldTokens: [],
          }),
        );
      },
      done: () => {},
      failed: reject,
    });
  });
}

export function attachSession(
  engine: Engine,
  core: Core,
  o: AttachSession,
  port: SessionPort,
): Promise<WorkerSession> {
  const digest = secretDigest(o.secret);
  return new Promise((resolve, reject) => {
    engine.origin.propose({
      bytes: 128 + o.heldTokens.length * 8,
      repeatable: false,
      encode: (builder) => {
        builder.sessionAttach(o.session, digest, o.heldTokens);
      },
      command: (_, result) => {
        if (result.refusal !== null) {
          reject(refused(result));
          return;
        }
        // What it did not claim may be held still: much of that is released little by little.
        const claimed = new Set(o.heldTokens);
        const held = core.heldTokens(o.session).filter((token) => claimed.has(token));
        const kept = new Set(held);
        resolve(
          engine.sessions.add({
            id: o.session,
            epoch: result.epoch,
            secret: o.secret,
            namespace: core.session(o.session)?.namespace ?? '',
            port,
            lostTokens: o.heldTokens.filter((token) => !kept.has(token)),
            heldTokens: held,
          }),
        );
      },
      done: () => {},
      failed: reject,
    });
  });
}

function refused(result: CommandResult): GearmeshError {
  if (result.refusal === 'NOT_FOUND') return new GearmeshError('SESSION_UNKNOWN');
  return refusalError(result.refusal!, result.limit, result.limitValue);
}
