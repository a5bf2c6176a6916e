import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { leading, type Profile, rooms } from './rooms.js';

const HELP = `Where the time of a job goes: the main threads of all nodes together, of the leader, and of one of the others, by room.

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
  const profiles = readdirSync(folder)
    .filter((one) => one.endsWith('.cpuprofile'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile)
    .map((profile) => ({ leading: leading(profile), sums: rooms(profile) }))
    .sort((a, b) => b.leading - a.leading);
  const all = profiles.flatMap(({ sums }) => [...sums.values()]).reduce((sum, us) => sum + us, 0);
  const unit = values.us === undefined ? 100 / all : Number(values.us) / all;
  const spent = (from: typeof profiles, room: string): number =>
    from.reduce((sum, { sums }) => sum + (sums.get(room) ?? 0), 0) * unit;
  const lines = [...new Set(profiles.flatMap(({ sums }) => [...sums.keys()]))].map((room) => {
    const others = spent(profiles.slice(1), room) / Math.max(1, profiles.length - 1);
    return { room, figures: [spent(profiles, room), spent(profiles.slice(0, 1), room), others] };
  });
  const total = (at: number): number => lines.reduce((sum, { figures }) => sum + figures[at]!, 0);
  lines.sort((a, b) => b.figures[0]! - a.figures[0]!);
  lines.push({ room: 'together', figures: [0, 1, 2].map(total) });
  const name = values.us === undefined ? '%' : 'µs';
  process.stdout.write(
    `${['all', 'leader', 'another'].map((one) => `${one} ${name}`.padStart(10)).join('')}\n`,
  );
  for (const { room, figures } of lines) {
    if (figures[0]! * 1_000 < total(0)) continue;
    process.stdout.write(`${figures.map((figure) => figure.toFixed(2).padStart(10)).join('')}  ${room}\n`);
  }
}
