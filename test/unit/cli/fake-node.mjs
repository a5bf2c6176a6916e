// Stands in for "gearmesh server" where only the handling of processes is tested: serves /readyz, obeys SIGTERM and
// the end of its parent. With --fail it ends at once; with --stubborn it ignores SIGTERM.
import { createServer } from 'node:http';

const flag = (name) => process.argv[process.argv.indexOf(name) + 1];
console.log(`arguments: ${process.argv.slice(2).join(' ')}`);
if (process.argv.includes('--fail')) {
  console.log('cannot go on');
  process.exit(7);
}
if (process.env.GEARMESH_STOP_WITH_PARENT === 'true') process.on('disconnect', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));
const [host, port] = flag('--listen-http').split(':');
createServer((_, response) => response.end('ok')).listen(Number(port), host);
