"""How root runs PostgreSQL, which refuses to run as root.

Two ways, in this order:

* A user namespace in which root goes by another name. It needs no other user, and the files
  stay root's. A container's default seccomp profile forbids it, and so do some kernels.
* The system user ``postgres`` or ``nobody``. It keeps one capability, CAP_DAC_OVERRIDE, so that
  it reaches binaries and data below folders that only root may enter: no folder's permissions
  are ever changed. Its own files are out of other users' reach, in a folder that is only root's.

The first way also serves a user without a name (``docker run --user 1234``), whom initdb
refuses.

This file is also the program that takes such an identity and then becomes the command. A fresh
process does that, because a process with threads can do it neither before nor after a fork.
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

_long = ctypes.c_ulong  # what prctl reads its arguments as


@dataclass(frozen=True)
class Identity:
    """Who runs the server's processes."""

    switch: str | None
    """How to become it: None is to stay as we are."""
    owner: int
    """The user id that its files have, seen from outside."""

    def command(self, directory: Path, *command: str | Path) -> list[str]:
        """Return the command, started by this identity; ``directory`` is where it must get to."""
        if self.switch is None:
            return [str(word) for word in command]
        # Isolated and without site-packages, it starts in a third of the time.
        become = [sys.executable, "-I", "-S", __file__, self.switch, str(directory)]
        return become + [str(word) for word in command]


def identities() -> list[Identity]:
    """Return who may run a server for the current user, the best first."""
    user = os.geteuid()
    itself = Identity(None, user)
    in_namespace = Identity(_NAMESPACE, user)
    if user == 0:
        other = _system_user().pw_uid
        return [in_namespace, Identity(str(other), other)]
    return [itself] if _has_name(user) else [in_namespace, itself]


def hand_over(directory: Path, identity: Identity) -> None:
    """Make the identity the owner of everything in a directory of ours.

    Only root can, and only root has to: when its namespaces are refused where they once were
    not. The directory itself comes last, so that a run that was cut short is done again.
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
    """Take the identity, make sure that it can get to the directory, become the command."""
    try:
        if switch == _NAMESPACE:
            _enter_user_namespace()
        else:
            _become(pwd.getpwuid(int(switch)))
        os.chdir(directory)
        os.execv(command[0], command)  # noqa: S606 -- it is what this program is for
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
    (process / "setgroups").write_text("deny")  # user_namespaces(7): else gid_map is refused
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
    """Give up all capabilities but one, which the command then inherits."""
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
    """Call a function of the C library that returns -1 when it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
