import { amqpDriver } from './amqp-driver.js';
import { beanstalkDriver } from './beanstalk-driver.js';
import { bullmqDriver } from './bullmq-driver.js';
import type { Driver } from './driver.js';
import { gearmanDriver } from './gearman-driver.js';
import { natsDriver } from './nats-driver.js';
import type { DriverName, FromLoad, Order, Task, ToLoad } from './order.js';
import { Submitting } from './submitting.js';
import { Working } from './working.js';

// A process that makes load, so that neither the servers nor the benchmark share a thread with it. It takes one order
// after the other from its parent, so that its code is compiled by the second: opens connections, says `ready`, and
// works from `go` on.

const DRIVERS: Readonly<Record<DriverName, Driver>> = {
  amqp: amqpDriver,
  beanstalk: beanstalkDriver,
  bullmq: bullmqDriver,
  gearman: gearmanDriver,
  nats: natsDriver,
};

const say = (what: FromLoad): void => {
  process.send?.(what);
};

function taskOf(order: Order): Task {
  const driver = DRIVERS[order.driver];
  return order.kind === 'submit' ? new Submitting(order, driver, say) : new Working(order, driver, say);
}

let task: Task | null = null;
process.on('message', (message: ToLoad) => {
  if (message.say === 'order') {
    task = taskOf(message.order);
    void task.open().then(() => say({ say: 'ready' }));
  } else if (message.say === 'go') {
    task?.go();
  } else if (message.say === 'worked') {
    task?.worked(message.jobs);
  } else if (message.say === 'stop') {
    task?.stop();
  } else {
    void task?.close().then(() => say({ say: 'closed' }));
  }
});
process.on('disconnect', () => process.exit(0));
// A rejection nobody handles ends it, and tells why on its stderr: the parent sees it end.
