import { connect } from 'amqplib';
import type { Driver } from './driver.js';

/** Of one connection; amqplib sends and hears heartbeats by itself. */
async function open(address: string) {
  const connection = await connect(`amqp://guest:guest@${address}`, { noDelay: true });
  connection.on('error', (error: Error) => {
    throw error;
  });
  return connection;
}

/** Publisher confirms, and acknowledgements by hand. */
export const amqpDriver: Driver = {
  async producer(address, queue) {
    const connection = await open(address);
    const channel = await connection.createConfirmChannel();
    const submit = (payload: Buffer, accepted: () => void): void => {
      channel.sendToQueue(queue, payload, { persistent: true }, (error: unknown) => {
        if (error) throw new Error(`RabbitMQ refused: ${String(error)}`);
        accepted();
      });
    };
    return {
      submit,
      submitMany: (payload, count, accepted) => {
        let left = count;
        const one = (): void => {
          if (--left === 0) accepted();
        };
        for (let i = 0; i < count; i++) submit(payload, one);
      },
      close: () => connection.close(),
    };
  },

  async consumer(address, queue, credits, heard) {
    const connection = await open(address);
    const channel = await connection.createChannel();
    await channel.prefetch(credits);
    await channel.consume(queue, (message) => {
      if (message === null) throw new Error('RabbitMQ cancelled the consumer');
      heard.started();
      channel.ack(message);
      heard.done();
    });
    return {
      // A channel that is closed loses the acknowledgements that its node has not handed on yet.
      settle: async () => {},
      close: () => connection.close(),
    };
  },
};
