"""A process that has imported Piccolo and the project, and forks into commands.

Importing is most of what a command costs, and the fault tests run a thousand of them. What is
forked is a real process: it has its own connections, opened after the fork, and dies of SIGKILL.
The zygote itself opens no connection and starts no thread. It ends when its stdin is closed.

Run as ``python -m tests.faults.zygote SOCKET [MODULE ...]``, with the modules that it is to import
besides; processes.py is the other side.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

import piccolo.main

import partman.cli
import partman.piccolo_app
import piccolo_conf  # noqa: F401

MAINS = {"piccolo": piccolo.main.main, "partman": partman.cli.main}


def serve(path: str) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    gc.collect()
    gc.freeze()  # the garbage collector would copy every page into every child
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # monitors end by themselves
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _monitor(connection)
        connection.close()


def _monitor(connection: socket.socket) -> NoReturn:
    """Fork once more; say which process it is, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, outputs, _, _ = socket.recv_fds(connection, 65536, 2)
    while not data.endswith(b"\n"):
        data += connection.recv(65536)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(json.loads(data), outputs)
    connection.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(request: dict[str, Any], outputs: list[int]) -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(outputs[0], 1)
    os.dup2(outputs[1], 2)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = request["command"]
    code: Any = 0
    try:
        MAINS[sys.argv[0]]()
    except SystemExit as exit_:
        code = exit_.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    serve(sys.argv[1])
