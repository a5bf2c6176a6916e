import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { WebSocketServer } from 'ws';
import { ECHO, type FloorOrder } from './floor-order.js';

/**
 * The other end of the floors: answers each message with as many bytes as its order says, and does nothing else. Takes
 * one order, answers with its port, and then whatever it is asked with the number of messages that it has got.
 */
let messages = 0;

process.once('message', (order: FloorOrder) => {
  void listen(order).then((port) => {
    process.on('message', () => process.send?.(messages));
    process.send?.(port);
  });
});
process.on('disconnect', () => process.exit(0));

async function listen(order: FloorOrder): Promise<number> {
  const answer = Buffer.alloc(order.answerBytes, 'x');
  return order.kind === 'grpc' ? await grpc(answer) : await webSocket(answer);
}

function grpc(answer: Buffer): Promise<number> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  const echo = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    call.on('data', () => {
      messages++;
      call.write(answer);
    });
    call.on('end', () => call.end());
  };
  server.addService({ echo: ECHO }, { echo });
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

function webSocket(answer: Buffer): Promise<number> {
  const http: HttpServer = createServer();
  const server = new WebSocketServer({ server: http, perMessageDeflate: false });
  server.on('connection', (socket) => {
    socket.on('message', () => {
      messages++;
      socket.send(answer);
    });
  });
  return new Promise((resolve) => {
    http.listen(0, '127.0.0.1', () => resolve((http.address() as AddressInfo).port));
  });
}
