"""Run PostgreSQL as root, although it refuses to run as root.

There are two ways, tried in this order:

* A user namespace that maps root to another user ID. It needs no other user, and root keeps
  owning the files. A container's default seccomp profile and some kernels forbid it.
* The system user ``postgres`` or ``nobody``. It keeps one capability, CAP_DAC_OVERRIDE, so that
  it can read binaries and data in directories that only root can access. No directory's mode is
  changed. Other users cannot reach its files, which are in a directory of root.

The first way also serves a user without a name (``docker run --user 1234``), with whom initdb
fails.

This file is also the program that takes on such an identity and then executes the command. That
needs a fresh process, because a process with threads cannot do it before or after a fork.
"""

import ctypes
import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

_NAMESPACE = "namespace"

# linux/sched.h, linux/prctl.h, linux/capability.h
_CLONE_NEWUSER = 0x10000000
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1

_long = ctypes.c_ulong  # the type of prctl's arguments


@dataclass(frozen=True)
class Identity:
    """The user that runs the server's processes."""

    switch: str | None
    """How to become that user; None to stay the current one."""
    owner: int
    """The user ID of its files, as seen outside of a namespace."""

    def command(self, directory: Path, *command: str | Path) -> list[str]:
        """Return the command to run as this identity, which must be able to enter ``directory``."""
        if self.switch is None:
            return [str(word) for word in command]
        # -I -S (isolated, no site-packages) cut Python's start to a third of the time.
        become = [sys.executable, "-I", "-S", __file__, self.switch, str(directory)]
        return become + [str(word) for word in command]


def identities() -> list[Identity]:
    """Return the identities that can run a server for the current user, the best first."""
    user = os.geteuid()
    unchanged = Identity(None, user)
    in_namespace = Identity(_NAMESPACE, user)
    if user == 0:
        other = _system_user().pw_uid
        return [in_namespace, Identity(str(other), other)]
    return [unchanged] if _has_name(user) else [in_namespace, unchanged]


def hand_over(directory: Path, identity: Identity) -> None:
    """Make the identity the owner of a directory and everything in it.

    Only root needs this, when user namespaces are no longer allowed. The directory itself comes
    last, so that the next call repeats an interrupted one.
    """
    if directory.stat().st_uid == identity.owner:
        return
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            os.chown(Path(folder, name), identity.owner, -1, follow_symlinks=False)
        os.chown(folder, identity.owner, -1)


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _main(switch: str, directory: str, *command: str) -> None:
    """Take on the identity, check that it can enter the directory, execute the command."""
    try:
        if switch == _NAMESPACE:
            _enter_user_namespace()
        else:
            _become(pwd.getpwuid(int(switch)))
        os.chdir(directory)
        os.execv(command[0], command)  # noqa: S606 -- the purpose of this program
    except OSError as error:
        in_namespace = switch == _NAMESPACE
        who = "in a user namespace" if in_namespace else f"as {pwd.getpwuid(int(switch)).pw_name}"
        sys.exit(f"{who}: {error.strerror or error}")


def _enter_user_namespace() -> None:
    user, group, name = os.geteuid(), os.getegid(), _system_user()
    if sys.version_info >= (3, 12):
        os.unshare(_CLONE_NEWUSER)
    else:
        _call("unshare", _CLONE_NEWUSER)
    process = Path("/proc/self")
    (process / "setgroups").write_text("deny")  # user_namespaces(7): required to write gid_map
    (process / "uid_map").write_text(f"{name.pw_uid} {user} 1")
    (process / "gid_map").write_text(f"{name.pw_gid} {group} 1")


def _become(user: pwd.struct_passwd) -> None:
    linux = sys.platform == "linux"
    if linux:
        _call("prctl", _PR_SET_KEEPCAPS, _long(1), _long(0), _long(0), _long(0))
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    if linux:
        _keep_only(_CAP_DAC_OVERRIDE)


def _keep_only(capability: int) -> None:
    """Drop all capabilities but one, which the command inherits."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _call("capset", header, effective_permitted_inheritable)
    _call(
        "prctl",
        _PR_CAP_AMBIENT,
        _long(_PR_CAP_AMBIENT_RAISE),
        _long(capability),
        _long(0),
        _long(0),
    )


def _call(function: str, *arguments: object) -> None:
    """Call a function of the C library that returns -1 on failure. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
