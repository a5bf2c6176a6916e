import type { Socket } from 'node:net';

/** Calls `exceeded` once more than `bytesMax` bytes have come in; returns how to lift the guard. */
export function guardBytes(socket: Socket, bytesMax: number, exceeded: () => void): () => void {
  let received = 0;
  const count = (chunk: Buffer) => {
    received += chunk.length;
    if (received <= bytesMax) return;
    socket.off('data', count);
    exceeded();
  };
  socket.on('data', count);
  return () => socket.off('data', count);
}
