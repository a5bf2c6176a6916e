// The npm package "gearman": work SERVER FUNCTION | call SERVER FUNCTION PAYLOAD [UNIQUE] | background SERVER FUNCTION PAYLOAD
const gearman = require('gearman');

const [verb, server, fn, payload] = process.argv.slice(2);
const [host, port] = server.split(':');
const peer = gearman(host, Number(port), { timeout: 20_000 });
const print = (text) => {
  process.stdout.write(text);
  peer.close();
};

if (verb === 'work') {
  peer.on('JOB_ASSIGN', (job) => {
    const text = job.payload.toString();
    if (text === 'fail') {
      peer.sendWorkFail(job.handle);
    } else {
      peer.sendWorkStatus(job.handle, '1', '2');
      peer.sendWorkComplete(job.handle, [...text].reverse().join(''));
    }
    peer.preSleep();
  });
  peer.on('NOOP', () => peer.grabJob());
  peer.connect(() => {
    peer.addFunction(fn);
    peer.preSleep();
  });
} else {
  peer.on('WORK_COMPLETE', (job) => print(job.payload.toString()));
  peer.on('WORK_FAIL', () => print('FAILED'));
  if (verb === 'background') peer.on('JOB_CREATED', (handle) => print(String(handle)));
  peer.connect(() => peer.submitJob(fn, payload, { background: verb === 'background' }));
}
