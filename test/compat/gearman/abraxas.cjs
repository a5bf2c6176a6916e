// The npm package "abraxas": work SERVERS FUNCTION | call SERVERS FUNCTION PAYLOAD [UNIQUE] | background SERVERS FUNCTION PAYLOAD
const Gearman = require('abraxas');

const [verb, servers, fn, payload, uniqueid] = process.argv.slice(2);
const client = Gearman.Client.connect({ servers: servers.split(','), defaultEncoding: 'utf8' });
const print = (text) => {
  process.stdout.write(String(text));
  client.disconnect();
};

if (verb === 'work') {
  client.registerWorker(fn, (task) => {
    if (task.payload === 'fail') throw new Error('as asked');
    return [...task.payload].reverse().join('');
  });
} else if (verb === 'call') {
  const options = uniqueid === undefined ? {} : { uniqueid };
  client.submitJob(fn, options, payload).then(print, () => print('FAILED'));
} else if (verb === 'background') {
  client.submitJobBg(fn, payload).then((task) => print(task.jobid ?? task));
}
