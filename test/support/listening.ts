import { connect } from 'node:net';

/** Whether somebody takes connections at this port of 127.0.0.1. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const say = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.on('connect', () => say(true));
    socket.on('error', () => say(false));
  });
}
