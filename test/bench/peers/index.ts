import { beanstalkd, beanstalkdSync } from './beanstalkd.js';
import { bullmq, bullmqSync } from './bullmq.js';
import { gearmand } from './gearmand.js';
import { nats, natsSync } from './nats.js';
import type { Peer } from './peer.js';
import { rabbitmq } from './rabbitmq.js';

/** All that can be measured beside ours, by what they promise: memory first. */
export const PEERS: readonly Peer[] = [
  gearmand,
  beanstalkd,
  bullmq,
  nats,
  beanstalkdSync,
  bullmqSync,
  natsSync,
  rabbitmq,
];
