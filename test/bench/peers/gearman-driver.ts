import { packet, REQUEST_MAGIC, TYPE } from '../../../src/gearman/packets.js';
import { complete, Lane, refused } from '../gearman-lane.js';
import type { Driver, Heard, Queue } from './driver.js';
import { RawProducer } from './raw-producer.js';

const GRAB = packet(REQUEST_MAGIC, TYPE.GRAB_JOB);
const SLEEP = packet(REQUEST_MAGIC, TYPE.PRE_SLEEP);

/** One job at a time, as its protocol has it: completes it and asks for the next in one piece; sleeps without one. */
async function work(address: string, queue: Queue, heard: Heard): Promise<Lane> {
  let out: Buffer[] = [];
  const lane = await Lane.open(
    address,
    (type, bytes, from, to) => {
      if (type === TYPE.JOB_ASSIGN) {
        heard.started();
        out.push(complete(bytes, from, to), GRAB);
        heard.done();
      } else if (type === TYPE.NO_JOB) {
        out.push(SLEEP);
      } else if (type === TYPE.NOOP) {
        out.push(GRAB);
      } else {
        refused(bytes, from, to);
      }
    },
    () => {
      if (out.length > 0) lane.socket.write(out.length === 1 ? out[0]! : Buffer.concat(out));
      out = [];
    },
  );
  lane.socket.write(Buffer.concat([packet(REQUEST_MAGIC, TYPE.CAN_DO, [queue]), GRAB]));
  return lane;
}

/** Background jobs. A worker that holds many at once is as many connections. */
export const gearmanDriver: Driver = {
  async producer(address, queue) {
    const lane = await Lane.open(address, (type, bytes, from, to) => {
      if (type !== TYPE.JOB_CREATED) refused(bytes, from, to);
      producer.answered();
    });
    const producer = new RawProducer(lane.socket, (payload) =>
      packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB_BG, [queue, '', payload]),
    );
    return producer;
  },

  async consumer(address, queue, credits, heard) {
    const lanes = await Promise.all(Array.from({ length: credits }, () => work(address, queue, heard)));
    return {
      settle: async () => {},
      close: async () => {
        for (const lane of lanes) lane.socket.destroy();
      },
    };
  },
};
