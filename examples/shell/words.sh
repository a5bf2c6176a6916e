#!/bin/sh
# A job in the shell: counts the words of its payload, the most frequent first.
#
#     npx gearmesh work words --concurrency 2 -- sh examples/shell/words.sh
#     npx gearmesh submit words 'the cat and the hat' --wait
#
# The payload is standard input, standard output the result. What goes to standard error is kept as the message when it
# fails. Exit code 65 fails the job for good; any other but 0 lets it be tried again, as its retry policy says.
set -eu

# An effect elsewhere should name the lease token: it grows with every lease of the cluster, so that the other system
# can refuse what an older attempt still says.
echo "job $GEARMESH_JOB_ID, attempt $GEARMESH_ATTEMPT, lease $GEARMESH_LEASE_TOKEN" >&2

words=$(tr -cs '[:alnum:]' '\n' | tr '[:upper:]' '[:lower:]' | sed '/^$/d')
if [ -z "$words" ]; then
  echo 'there are no words in the payload' >&2
  exit 65
fi
echo "$words" | sort | uniq -c | sort -k1,1nr -k2 | sed 's/^ *//'
