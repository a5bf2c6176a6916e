// The npm package "gearmanode": work SERVERS FUNCTION | call SERVERS FUNCTION PAYLOAD [UNIQUE] | background SERVERS FUNCTION PAYLOAD
const gearmanode = require('gearmanode');

gearmanode.Client.logger.transports.forEach((transport) => {
  transport.silent = true;
});
const [verb, list, fn, payload, unique] = process.argv.slice(2);
const servers = list.split(',').map((one) => ({ host: one.split(':')[0], port: Number(one.split(':')[1]) }));

if (verb === 'work') {
  const worker = gearmanode.worker({ servers });
  worker.on('error', () => {});
  worker.addFunction(fn, (job) => {
    const text = job.payload.toString();
    if (text === 'fail') {
      job.reportError();
      return;
    }
    job.reportStatus(1, 2);
    job.workComplete([...text].reverse().join(''));
  });
} else {
  const client = gearmanode.client({ servers });
  const print = (text) => {
    process.stdout.write(text);
    client.close();
  };
  const background = verb === 'background';
  const job = client.submitJob(fn, payload, { background, unique, toStringEncoding: 'utf8' });
  job.on('complete', () => print(job.response));
  job.on('failed', () => print('FAILED'));
  if (background) job.on('created', () => print(job.handle));
}
