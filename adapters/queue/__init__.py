"""The queue of jobs: procrastinate in any Postgres."""

from adapters.queue.queue import ProcrastinateQueue
from adapters.queue.settings import QueueSettings

__all__ = ["ProcrastinateQueue", "QueueSettings"]
