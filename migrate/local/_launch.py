"""Become another program, but die with the process that started us: `python -I -S _launch.py SIGNAL PPID ARGV...`.

Run as a file, never imported, with the standard library only, so that it costs a few milliseconds. until phase 3

The child gets a session of its own (Ctrl-C in a terminal reaches only the parent, which stops its children in
order), and on Linux asks the kernel for SIGNAL on its parent's death (prctl PR_SET_PDEATHSIG; kept over execve, see
man 2 prctl). A parent that died before that call has already given us another parent: then we end at once.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    signal_number, parent, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    os.setsid()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
            sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
        if os.getppid() != parent:
            sys.exit(0)
    try:
        os.execvpe(argv[0], argv, os.environ)  # noqa: S606
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
