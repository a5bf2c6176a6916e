"""A client and a worker in Python, with grpcio alone: the protos are all that another language needs.

    python3 -m pip install grpcio grpcio-tools
    python3 examples/python/reverse.py

The worker uses the plain calls (LeaseJobs, CompleteJob, FailJob). For many jobs per second use the stream
WorkerService.Work instead: docs/protocol.md.
"""

import os
import sys
import threading
import uuid
from pathlib import Path

import grpc

PROTO = Path(__file__).resolve().parents[2] / "proto"
sys.path.insert(0, str(PROTO))
# Reads the protos as they are; python3 -m grpc_tools.protoc makes modules of them for a program of your own.
job_pb, job_grpc = grpc.protos_and_services("gearmesh/v1/job.proto")
worker_pb, worker_grpc = grpc.protos_and_services("gearmesh/v1/worker.proto")

ENDPOINT = os.environ.get("GEARMESH_ENDPOINT", "127.0.0.1:7730").split(",")[0]


def connect():
    # Retries what is safe to repeat.
    options = [("grpc.service_config", (PROTO / "service_config.json").read_text())]
    return grpc.insecure_channel(ENDPOINT, options)


def work(channel, stop):
    """Takes one job at a time, waiting for it, until it is told to stop."""
    stub = worker_grpc.WorkerServiceStub(channel)
    while not stop.is_set():
        request = worker_pb.LeaseJobsRequest(
            worker_name="python",
            functions=["reverse.py"],
            max_jobs=1,
            request_id=str(uuid.uuid4()),  # repeated with the same id, the call answers with the same lease
        )
        request.wait.seconds = 1
        request.lease_duration.seconds = 30
        for job in stub.LeaseJobs(request, timeout=10).assignments:
            # The token belongs into everything said about the job; an old one is refused (LEASE_LOST).
            about = {"job_id": job.job_id, "lease_token": job.lease_token}
            try:
                result = job.payload.decode("utf-8")[::-1]
            except UnicodeDecodeError as error:
                failed = worker_pb.FailJobRequest(**about)
                failed.error.code, failed.error.message = "NOT_TEXT", str(error)
                stub.FailJob(failed, timeout=10)
            else:
                stub.CompleteJob(
                    worker_pb.CompleteJobRequest(
                        result=result.encode("utf-8"), result_content_type="text/plain", **about
                    ),
                    timeout=10,
                )


def main():
    stop = threading.Event()
    with connect() as channel:
        worker = threading.Thread(target=work, args=(channel, stop))
        worker.start()
        try:
            jobs = job_grpc.JobServiceStub(channel)
            request = job_pb.RunJobRequest()
            request.job.function = "reverse.py"
            request.job.payload = "Hello World!".encode("utf-8")
            for event in jobs.RunJob(request, timeout=60):
                print(job_pb.JobEventKind.Name(event.kind))
                if event.kind == job_pb.JOB_EVENT_KIND_ENDED:
                    print(event.result.decode("utf-8") or event.error.message)
            try:
                jobs.GetJob(job_pb.GetJobRequest(job_id="01JZ0000000000000000000000"), timeout=10)
            except grpc.RpcError as error:
                print(error.code().name, error.details())
        finally:
            stop.set()
            worker.join()


if __name__ == "__main__":
    main()
