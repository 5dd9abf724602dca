"""End the processes of a parent that died, where the kernel cannot do it: `python -I -S _guard.py`. until phase 3

Reads lines `+PID SIGNAL` and `-PID` from standard input, a pipe whose only writer is the parent. End of file means
that the parent is gone: every process still listed gets its signal, and SIGKILL ten seconds later.
Only used where PR_SET_PDEATHSIG does not exist (see children.py).
"""

import contextlib
import os
import signal
import sys
import time

GRACE_S = 10.0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pids: dict[int, int] = {}
    for line in sys.stdin:
        sign, fields = line[0], line[1:].split()
        if sign == "+":
            pids[int(fields[0])] = int(fields[1])
        else:
            pids.pop(int(fields[0]), None)
    for pid, number in pids.items():
        with contextlib.suppress(OSError):
            os.killpg(pid, number)
    end = time.monotonic() + GRACE_S
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    for pid in pids:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
