"""work SERVERS FUNCTION | call SERVERS FUNCTION PAYLOAD [UNIQUE] | background SERVERS FUNCTION PAYLOAD | admin SERVERS"""

import json
import sys

import gearman


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def main(verb, servers, function="", payload="", unique=None):
    hosts = servers.split(",")
    if verb == "work":
        worker = gearman.GearmanWorker(hosts)

        def reverse(worker, job):
            data = text(job.data)
            if data == "fail":
                raise RuntimeError("as asked")
            worker.send_job_status(job, 1, 2)
            return data[::-1]

        # The library compares what it registered with the bytes of the wire.
        worker.register_task(function.encode(), reverse)
        worker.work()
    elif verb == "call":
        client = gearman.GearmanClient(hosts)
        done = client.submit_job(function, payload, unique=unique, poll_timeout=20)
        print(text(done.result) if done.state == gearman.JOB_COMPLETE else "FAILED", end="")
    elif verb == "background":
        client = gearman.GearmanClient(hosts)
        asked = client.submit_job(function, payload, background=True, wait_until_complete=False)
        asked = client.wait_until_jobs_accepted([asked])[0]
        print(text(asked.job.handle), end="")
    elif verb == "admin":
        admin = gearman.GearmanAdminClient(hosts)
        print(json.dumps({"version": admin.get_version(), "status": admin.get_status()}, default=str))


main(*sys.argv[1:])
