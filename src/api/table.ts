import type {
  MethodDefinition,
  Server,
  ServiceDefinition,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  type ClientStreamHandler,
  type DuplexHandler,
  type Encode,
  Malformed,
  type StreamHandler,
  serveClientStream,
  serveDuplex,
  serveStream,
  serveUnary,
  type UnaryHandler,
} from './call.js';
import type { Deps } from './deps.js';

interface Shape<Q, A> {
  readonly requestDeserialize: (bytes: Buffer) => Q;
  readonly responseSerialize: (answer: A) => Buffer;
}

type HandlerFor<D> = D extends { requestStream: false; responseStream: false } & Shape<infer Q, infer A>
  ? UnaryHandler<Q, A>
  : D extends { requestStream: false; responseStream: true } & Shape<infer Q, infer A>
    ? StreamHandler<Q, A>
    : D extends { requestStream: true; responseStream: true } & Shape<infer Q, infer A>
      ? DuplexHandler<Q, A>
      : D extends { requestStream: true; responseStream: false } & Shape<infer Q, infer A>
        ? ClientStreamHandler<Q, A>
        : never;

/** From each verb of a service to its handler; a verb that is missing is a type error. */
export type Verbs<S> = { readonly [verb in keyof S]: HandlerFor<S[verb]> };

type AnyMethod = MethodDefinition<unknown, unknown>;

/** Adds a service. Answers are encoded by us, so that grpc-js passes bytes on; requests that cannot be decoded too. */
export function addVerbs<S extends object>(server: Server, deps: Deps, service: S, verbs: Verbs<S>): void {
  const definition: Record<string, AnyMethod> = {};
  const implementation: Record<string, UntypedHandleCall> = {};
  for (const [verb, method] of Object.entries(service) as [keyof S & string, AnyMethod][]) {
    definition[verb] = {
      ...method,
      requestDeserialize: decodeOrExplain(method),
      responseSerialize: (bytes) => bytes as Buffer,
    };
    implementation[verb] = serve(deps, method, verbs[verb]);
  }
  server.addService(definition as ServiceDefinition, implementation as UntypedServiceImplementation);
}

function decodeOrExplain(method: AnyMethod): (bytes: Buffer) => unknown {
  return (bytes) => {
    try {
      return method.requestDeserialize(bytes);
    } catch (error) {
      return new Malformed(error instanceof Error ? error.message : String(error));
    }
  };
}

function serve(deps: Deps, method: AnyMethod, handler: unknown): UntypedHandleCall {
  const name = method.path.slice(1);
  const encode = method.responseSerialize as Encode<unknown>;
  if (method.requestStream && !method.responseStream) {
    const take = handler as ClientStreamHandler<unknown, unknown>;
    return serveClientStream(deps, name, encode, take) as UntypedHandleCall;
  }
  if (method.requestStream) {
    return serveDuplex(deps, name, encode, handler as DuplexHandler<unknown, unknown>) as UntypedHandleCall;
  }
  if (method.responseStream) {
    return serveStream(deps, name, encode, handler as StreamHandler<unknown, unknown>) as UntypedHandleCall;
  }
  return serveUnary(deps, name, encode, handler as UnaryHandler<unknown, unknown>) as UntypedHandleCall;
}
