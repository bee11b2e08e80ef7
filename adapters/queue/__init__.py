"""The queue of jobs: procrastinate in any Postgres."""

from adapters.queue.queue import ProcrastinateQueue
from adapters.queue.settings import QueueSettings
from adapters.queue.table import FailedJob

__all__ = ["FailedJob", "ProcrastinateQueue", "QueueSettings"]
