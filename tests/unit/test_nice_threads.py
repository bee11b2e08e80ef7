"""Threads that analyse stand back; who asks is not kept waiting."""

import os
import sys

import pytest

from service.settings import ServiceSettings
from service.wiring.examiner import open_pool


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is nice as a whole")
def test_what_analyses_stands_back_and_others_do_not():
    before = os.nice(0)
    with open_pool(ServiceSettings(), niceness=3) as pool:
        assert pool.submit(os.nice, 0).result() == min(before + 3, 19)
    assert os.nice(0) == before
