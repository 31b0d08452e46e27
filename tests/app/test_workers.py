"""The threads of an engine, and the memory that they share."""

import platform
import subprocess
import sys

import pytest
from forked import unmeasured

# Threads that are there at the same time allocate; then glibc lists its heaps.
HEAPS = """
import ctypes, sys, threading
from kei.app.workers import share_one_heap
libc = ctypes.CDLL(None)
libc.fdopen.restype, libc.malloc_info.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
if sys.argv[1] == "shared":
    share_one_heap()
all_here = threading.Barrier(4)
threads = [threading.Thread(target=lambda: (all_here.wait(), bytes(9000))) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
stream = libc.fdopen(1, b"w")
libc.malloc_info(0, stream)
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have one heap")
def test_threads_share_one_heap() -> None:
    assert heaps("shared") == 1
    assert heaps("by default") > 1


def heaps(how: str) -> int:
    command = [sys.executable, "-c", HEAPS, how]
    done = subprocess.run(
        command, env=unmeasured(), check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.count("<heap nr=")
