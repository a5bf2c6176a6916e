"""A client and worker that nobody wrote for Gearmesh: plain grpcio and the stubs that protoc makes.

    python3 client.py STUBS ENDPOINT ENDPOINT ENDPOINT

Prints one JSON object per step: {"step": NAME, ...}. What they must say is judged by python.test.ts.
"""

import json
import queue
import sys
import threading
import uuid

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from gearmesh.v1 import common_pb2, job_pb2, job_pb2_grpc  # noqa: E402
from gearmesh.v1 import queue_pb2, queue_pb2_grpc, worker_pb2, worker_pb2_grpc  # noqa: E402

TIMEOUT = 30
CHANNELS = [grpc.insecure_channel(endpoint) for endpoint in sys.argv[2:5]]
JOBS = [job_pb2_grpc.JobServiceStub(channel) for channel in CHANNELS]
WORKERS = [worker_pb2_grpc.WorkerServiceStub(channel) for channel in CHANNELS]
QUEUES = [queue_pb2_grpc.QueueServiceStub(channel) for channel in CHANNELS]


def tell(step, **values):
    print(json.dumps({"step": step, **values}), flush=True)


def spec(function, payload, **more):
    job = job_pb2.JobSpec(function=function, payload=payload, content_type="text/plain", **more)
    job.result_retention.seconds = 60
    return job


def submit(node, function, payload, **more):
    request = job_pb2.SubmitJobRequest(job=spec(function, payload, **more))
    return JOBS[node].SubmitJob(request, timeout=TIMEOUT)


def get(node, job_id):
    request = job_pb2.GetJobRequest(job_id=job_id, view=common_pb2.JOB_VIEW_FULL)
    return JOBS[node].GetJob(request, timeout=TIMEOUT)


def state(job):
    return common_pb2.JobState.Name(job.state)


def refusal(call):
    """Code, reason, metadata and fields of the error that the call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        told = {"code": error.code().name, "reason": "", "metadata": {}, "fields": []}
        trailer = dict(error.trailing_metadata()).get("grpc-status-details-bin")
        for detail in status_pb2.Status.FromString(trailer).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                told["reason"] = info.reason
                told["metadata"] = dict(info.metadata)
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest.FromString(detail.value)
                told["fields"] = [violation.field for violation in bad.field_violations]
        return told
    return {"code": "OK"}


def lease(node, function, most=1):
    request = worker_pb2.LeaseJobsRequest(
        worker_name="python-unary", functions=[function], max_jobs=most, request_id=str(uuid.uuid4())
    )
    request.wait.seconds = 10
    request.lease_duration.seconds = 30
    answer = WORKERS[node].LeaseJobs(request, timeout=TIMEOUT)
    again = WORKERS[node].LeaseJobs(request, timeout=TIMEOUT)
    same = [a.lease_token for a in answer.assignments] == [a.lease_token for a in again.assignments]
    return answer.assignments, same


def unary_twins():
    submitted = submit(0, "py.unary", b"Hello World!", metadata={"from": "python"})
    tell("submit", disposition=job_pb2.Disposition.Name(submitted.disposition), id=submitted.job_id)
    again = job_pb2.SubmitJobRequest(job=spec("py.unary", b"Hello World!", metadata={"from": "python"}))
    again.job.id = submitted.job_id
    repeated = JOBS[2].SubmitJob(again, timeout=TIMEOUT)
    tell("submit again", disposition=job_pb2.Disposition.Name(repeated.disposition), id=repeated.job_id)

    [job], same = lease(1, "py.unary")
    tell("lease", id=job.job_id, payload=job.payload.decode(), metadata=dict(job.metadata), same=same)
    extend = worker_pb2.ExtendLeasesRequest(lease_tokens=[job.lease_token])
    extend.lease_duration.seconds = 60
    extended = WORKERS[1].ExtendLeases(extend, timeout=TIMEOUT).extensions[0]
    tell("extend", later=extended.deadline.ToMilliseconds() > job.deadline.ToMilliseconds())

    followed = JOBS[2].WatchJob(job_pb2.WatchJobRequest(job_id=job.job_id), timeout=TIMEOUT)
    events = [next(followed)]
    progress = common_pb2.Progress(numerator=1, denominator=2, message="half")
    WORKERS[1].ReportProgress(
        worker_pb2.ReportProgressRequest(lease_token=job.lease_token, progress=progress), timeout=TIMEOUT
    )
    WORKERS[1].SendData(
        worker_pb2.SendDataRequest(lease_token=job.lease_token, first=0, chunks=[b"one", b"two"]),
        timeout=TIMEOUT,
    )
    about = {"job_id": job.job_id, "lease_token": job.lease_token}
    done = worker_pb2.CompleteJobRequest(
        result=job.payload[::-1], result_content_type="text/plain", data_count=2, **about
    )
    revision = WORKERS[1].CompleteJob(done, timeout=TIMEOUT).revision
    events.extend(followed)
    tell(
        "watch",
        kinds=[job_pb2.JobEventKind.Name(event.kind) for event in events],
        data=[chunk.decode() for event in events for chunk in event.data],
        result=events[-1].result.decode(),
    )
    tell("complete again", same=WORKERS[2].CompleteJob(done, timeout=TIMEOUT).revision == revision)
    late = worker_pb2.CompleteJobRequest(result=b"other", **about)
    tell("complete otherwise", **refusal(lambda: WORKERS[2].CompleteJob(late, timeout=TIMEOUT)))
    job = get(2, job.job_id)
    tell("get", state=state(job), result=job.result.decode(), worker=job.attempts[0].worker)


def failing_and_releasing():
    failing = submit(0, "py.failing", b"x").job_id
    [job], _ = lease(1, "py.failing")
    failed = worker_pb2.FailJobRequest(job_id=job.job_id, lease_token=job.lease_token)
    failed.error.code, failed.error.message = "NO_FILE", "no such file"
    WORKERS[1].FailJob(failed, timeout=TIMEOUT)
    job = get(2, failing)
    tell("fail", state=state(job), code=job.error.code, message=job.error.message)

    released = submit(0, "py.released", b"x").job_id
    [job], _ = lease(1, "py.released")
    WORKERS[1].ReleaseJob(
        worker_pb2.ReleaseJobRequest(job_id=job.job_id, lease_token=job.lease_token), timeout=TIMEOUT
    )
    tell("release", state=state(get(2, released)), attempt=get(2, released).attempt)


class Stream:
    """One Work stream: frames go out through a queue, as grpcio wants them."""

    def __init__(self, node, hello, credit=0):
        self.outgoing = queue.Queue()
        self.call = WORKERS[node].Work(iter(self.outgoing.get, None), timeout=TIMEOUT)
        self.send(worker_pb2.WorkFrame(hello=hello, credit=credit))

    def send(self, frame):
        self.outgoing.put(frame)

    def until(self, wanted):
        """The first frame for which `wanted` is true; heartbeats and others are passed over."""
        for frame in self.call:
            if wanted(frame):
                return frame
        raise RuntimeError("the stream ended")

    def end(self):
        self.outgoing.put(None)


def outcome(job, kind, result=b""):
    return worker_pb2.JobOutcome(
        lease_token=job.lease_token, job_id=job.job_id, kind=kind, result=result, data_count=0
    )


def bidi_stream():
    frames = [job_pb2.SubmitFrame(frame_id=1, jobs=[spec("py.stream", b"abc"), spec("py.stream", b"def")])]
    [answer] = list(JOBS[0].SubmitStream(iter(frames), timeout=TIMEOUT))
    tell("submit stream", frame=answer.frame_id, jobs=len(answer.results))

    hello = worker_pb2.WorkerHello(
        worker_name="python-stream",
        functions=[worker_pb2.WorkerFunction(name="py.stream"), worker_pb2.WorkerFunction(name="py.run")],
        sdk_name="python",
    )
    stream = Stream(1, hello, credit=3)
    frame = stream.until(lambda one: one.HasField("welcome"))
    welcome = frame.welcome
    jobs = list(frame.assignments)
    while len(jobs) < 2:
        jobs.extend(stream.until(lambda one: len(one.assignments) > 0).assignments)
    tell("work", node=welcome.node, payloads=[job.payload.decode() for job in jobs])
    stream.send(worker_pb2.WorkFrame(acks=[job.lease_token for job in jobs]))
    complete = worker_pb2.OUTCOME_KIND_COMPLETE
    stream.send(worker_pb2.WorkFrame(outcomes=[outcome(jobs[0], complete, b"cba")]))
    settled = stream.until(lambda one: len(one.outcome_results) > 0).outcome_results[0]
    tell("outcome", accepted=settled.revision != "" and not settled.HasField("error"))
    seen = QUEUES[2].GetQueue(queue_pb2.GetQueueRequest(function="py.stream"), timeout=TIMEOUT)
    tell(
        "queue",
        workers=seen.workers,
        running=seen.running,
        succeeded=seen.succeeded,
        submitted=seen.totals.submitted,
    )

    # The stream breaks in mid-job; the session goes on at another node, with the same lease.
    stream.call.cancel()
    resume = worker_pb2.ResumeSession(
        session_id=welcome.session_id, secret=welcome.secret, held_tokens=[jobs[1].lease_token]
    )
    stream = Stream(2, worker_pb2.WorkerHello(resume=resume))
    again = stream.until(lambda one: one.HasField("welcome")).welcome
    stream.send(worker_pb2.WorkFrame(outcomes=[outcome(jobs[1], complete, b"fed")], credit=1))
    settled = stream.until(lambda one: len(one.outcome_results) > 0).outcome_results[0]
    job = get(0, jobs[1].job_id)
    tell(
        "resume",
        same=again.session_id == welcome.session_id,
        node=again.node,
        accepted=settled.revision != "",
        state=state(job),
        result=job.result.decode(),
        attempt=job.attempt,
    )

    # A foreground job, done by the same stream.
    results = []

    def foreground():
        request = job_pb2.RunJobRequest(job=spec("py.run", b"ping"))
        for event in JOBS[0].RunJob(request, timeout=TIMEOUT):
            results.append(event)

    thread = threading.Thread(target=foreground)
    thread.start()
    job = stream.until(lambda one: len(one.assignments) > 0).assignments[0]
    stream.send(worker_pb2.WorkFrame(acks=[job.lease_token], outcomes=[outcome(job, complete, b"pong")]))
    thread.join(TIMEOUT)
    tell(
        "run",
        kinds=[job_pb2.JobEventKind.Name(event.kind) for event in results],
        result=results[-1].result.decode(),
    )
    stream.send(worker_pb2.WorkFrame(goodbye=worker_pb2.Goodbye(reason="done")))
    rest = [frame for frame in stream.call if len(frame.assignments) > 0]
    stream.end()
    tell("goodbye", assignments=len(rest), code=stream.call.code().name)


def refusals():
    empty = job_pb2.SubmitJobRequest(job=job_pb2.JobSpec())
    tell("bad field", **refusal(lambda: JOBS[0].SubmitJob(empty, timeout=TIMEOUT)))
    unknown = job_pb2.GetJobRequest(job_id="01JZ0000000000000000000000")
    tell("no job", **refusal(lambda: JOBS[1].GetJob(unknown, timeout=TIMEOUT)))
    large = job_pb2.SubmitJobRequest(job=spec("py.large", bytes(256 * 1024 + 1)))
    tell("too large", **refusal(lambda: JOBS[2].SubmitJob(large, timeout=TIMEOUT)))


unary_twins()
failing_and_releasing()
bidi_stream()
refusals()
for channel in CHANNELS:
    channel.close()
