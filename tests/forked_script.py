"""Replaces an installed script: a zygote forks the command, and the exit code is passed on.

Shells find it in the PATH of forked_scripts(). A command then costs only this script's start,
``python -IS forked_script.py partman status``. So it imports what is built into Python, and not
the modules of these parts, json, os, signal and socket: they take longer than all the rest.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import sys
from _json import encode_basestring_ascii as quoted


def main() -> None:
    """Pass the standard files, the environment, the folder and signals to the zygote; wait."""
    environment = {_text(name): _text(value) for name, value in posix.environ.items()}
    zygote = _socket.socket(_socket.AF_UNIX)
    zygote.connect(environment["ZYGOTE"])
    command = ", ".join(quoted(word) for word in sys.argv[1:])
    variables = ", ".join(f"{quoted(name)}: {quoted(it)}" for name, it in environment.items())
    request = (
        f'{{"command": [{command}], "environment": {{{variables}}}, '
        f'"cwd": {quoted(posix.getcwd())}}}\n'
    ).encode()
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    sent = zygote.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
    zygote.sendall(request[sent:])
    pid = _number(zygote)
    for number in (_signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, lambda sent, _: posix.kill(pid, sent))
    code = _number(zygote)
    if code < 0:
        _signal.signal(-code, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -code)
    posix._exit(code)


def _text(value: bytes) -> str:
    return value.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def _number(zygote: _socket.socket) -> int:
    """Read a line, byte by byte: another one may follow it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = zygote.recv(1)
        if not byte:
            raise EOFError("The zygote has ended.")
        line += byte
    return int(line)


if __name__ == "__main__":
    main()
