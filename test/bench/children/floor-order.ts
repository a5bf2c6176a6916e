import type { MethodDefinition } from '@grpc/grpc-js';

export interface FloorOrder {
  readonly kind: 'grpc' | 'ws';
  readonly answerBytes: number;
}

const asItIs = (bytes: Buffer): Buffer => bytes;

/** A stream both ways whose messages are bytes that nobody encodes. */
export const ECHO: MethodDefinition<Buffer, Buffer> = {
  path: '/bench.Floor/Echo',
  requestStream: true,
  responseStream: true,
  requestSerialize: asItIs,
  requestDeserialize: asItIs,
  responseSerialize: asItIs,
  responseDeserialize: asItIs,
};
