import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Profile, rooms } from './rooms.js';

const HELP = `Where the time of a job goes: the main threads of all nodes together, by room.

    npm run bench -- --only W2 --peers none --profile DIR
    npm run bench:budget -- DIR             shares
    npm run bench:budget -- DIR --us 40     and microseconds, of so many a job

It is time by the clock while a main thread was at work: a call that wakes another thread (a write, a sync) is charged with
what that one takes from its core. The start of the nodes and queues that are emptied between loads are left out. Time
inside Node and the system counts for the room that called them.
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { help: { type: 'boolean' }, us: { type: 'string' } },
});
const [folder] = positionals;
if (values.help === true) process.stdout.write(HELP);
else if (folder === undefined || !(Number(values.us ?? 1) > 0)) {
  process.stderr.write(HELP);
  process.exitCode = 2;
} else {
  const sums = new Map<string, number>();
  for (const name of readdirSync(folder).filter((one) => one.endsWith('.cpuprofile'))) {
    const profile = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile;
    for (const [room, us] of rooms(profile)) sums.set(room, (sums.get(room) ?? 0) + us);
  }
  const all = [...sums.values()].reduce((sum, us) => sum + us, 0);
  for (const [room, us] of [...sums].sort((a, b) => b[1] - a[1])) {
    const share = us / all;
    const each = values.us === undefined ? '' : `${(share * Number(values.us)).toFixed(2).padStart(7)} µs`;
    if (share >= 0.001) process.stdout.write(`${(share * 100).toFixed(1).padStart(5)} % ${each}  ${room}\n`);
  }
}
