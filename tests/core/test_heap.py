"""The heap that all threads share."""

import platform
import re
import subprocess
import sys

import pytest
from forked import unmeasured

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other libraries have one heap"
)

# Threads that are there at the same time allocate, and large blocks have come and gone; then glibc
# lists its heaps, and the blocks that are in none.
LIST = """
import ctypes, sys, threading
from kei.core.heap import LARGE_BYTES, keep_small
libc = ctypes.CDLL(None)
libc.fdopen.restype, libc.malloc_info.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
if sys.argv[1] == "small":
    keep_small()
all_here = threading.Barrier(4)
threads = [threading.Thread(target=lambda: (all_here.wait(), bytes(9000))) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
bytes(10 * LARGE_BYTES)
large = [bytes(LARGE_BYTES) for _ in range(100)]
stream = libc.fdopen(1, b"w")
libc.malloc_info(0, stream)
libc.fflush(None)
"""
IN_NONE = re.compile('<total type="mmap" count="([0-9]+)"')


def test_threads_share_one_heap() -> None:
    assert listed("small").count("<heap nr=") == 1
    assert listed("by default").count("<heap nr=") > 1


def test_large_blocks_never_leave_holes_in_the_heap() -> None:
    assert in_none("small") >= 100
    assert in_none("by default") < 100


def in_none(how: str) -> int:
    (count,) = IN_NONE.findall(listed(how))
    return int(count)


def listed(how: str) -> str:
    command = [sys.executable, "-c", LIST, how]
    done = subprocess.run(
        command, env=unmeasured(), check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout
