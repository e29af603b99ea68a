"""Stands in for an installed script: has a zygote fork the command, and ends as that does.

Shells find it on the PATH of forked_scripts(). It imports next to nothing, for its start is all
that a command then costs: ``python -IS forked_script.py partman status``.
"""

import json
import os
import signal
import socket
import sys


def main() -> None:
    """Hand over the standard files, the environment and the folder; pass signals on; wait."""
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
