"""Replaces an installed script: a zygote forks the command, and the exit code is passed on.

Shells find it in the PATH of forked_scripts(). It imports almost nothing, because a command then
costs only its start: ``python -IS forked_script.py partman status``.
"""

import json
import os
import signal
import socket
import sys


def main() -> None:
    """Pass the standard files, the environment, the folder and signals to the zygote; wait."""
    environment = dict(os.environ)
    with socket.socket(socket.AF_UNIX) as zygote:
        zygote.connect(environment.pop("ZYGOTE"))
        request = {"command": sys.argv[1:], "environment": environment, "cwd": os.getcwd()}  # noqa: PTH109
        socket.send_fds(zygote, [json.dumps(request).encode() + b"\n"], [0, 1, 2])
        answers = zygote.makefile()
        pid = int(answers.readline())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda sent, _: os.kill(pid, sent))
        code = int(answers.readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
