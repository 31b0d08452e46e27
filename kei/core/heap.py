"""How glibc keeps the memory of this process; without effect where there is another C library."""

import contextlib
import ctypes

_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # <malloc.h> of glibc
LARGE_BYTES = 64 * 1024  # half of what glibc begins with, mallopt(3)


def keep_small() -> None:
    """Have all threads allocate from one heap, without large blocks; before there are any threads.

    By default glibc gives threads heaps of their own, up to eight for each core, so that they need
    not wait for one another. Python's lock has them wait anyway, and what one thread has freed
    could not be used by another: some 2 MB after the gaps of 99 days have been filled.

    Large blocks are given back to the system as soon as they are free. But with each of them
    glibc takes larger ones for small, up to 32 MiB; those leave holes in the heap: 0.5 MB.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # as `adjtimex_of_libc`
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
