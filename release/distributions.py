"""Build the distributions and their bill of materials: python -m release.distributions FOLDER.

The same commit gives the same bytes, whoever builds it, where and when. Only files that git knows
are built, in a folder of their own, with the same rights; all times are that of the last commit;
the build backend is pinned in requirements/build.txt. setuptools sets the times in the wheel, but
not in the source distribution, which is therefore written anew.
"""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from release.materials import bill_of_materials

ROOT = Path(__file__).parent.parent


def build(into: Path, root: Path = ROOT) -> list[Path]:
    """Build the checkout in ``root``; return the source distribution, the wheel and the bill.

    Raises subprocess.CalledProcessError.
    """
    epoch = committed_at(root)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        sources, built = Path(folder, "sources"), Path(folder, "built")
        copy_tracked_files(root, sources)
        _run_uv(sources, built, epoch)
        [archive] = built.glob("*.tar.gz")
        [wheel] = built.glob("*.whl")
        name = archive.name.removesuffix(".tar.gz")
        bill = bill_of_materials(root, name.partition("-")[2], epoch)
        results = {
            into / archive.name: with_one_time(archive.read_bytes(), epoch),
            into / wheel.name: wheel.read_bytes(),
            into / f"{name}.cdx.json": bill.encode(),
        }
    for path, content in results.items():
        path.write_bytes(content)
    return list(results)


def committed_at(root: Path) -> int:
    """Return SOURCE_DATE_EPOCH, or when the last commit was made, in seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or _git(root, "log", "-1", "--format=%ct"))


def copy_tracked_files(root: Path, to: Path) -> None:
    """Copy the files that git knows, as they are now, with the same rights everywhere."""
    for name in filter(None, _git(root, "ls-files", "-z").split("\0")):
        source, target = root / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def with_one_time(archive: bytes, epoch: int) -> bytes:
    """Return a .tar.gz with the same files, in order, of one time, and of nobody."""
    raw = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as source,
        tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in sorted(source.getmembers(), key=lambda each: each.name):
            member.mtime, member.pax_headers = epoch, {}
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            target.addfile(member, source.extractfile(member) if member.isfile() else None)
    return gzip.compress(raw.getvalue(), mtime=epoch)


def _run_uv(sources: Path, built: Path, epoch: int) -> None:
    uv = Path(sys.executable).with_name("uv")
    pinned = ("--build-constraints", "requirements/build.txt", "--require-hashes")
    subprocess.run(
        [uv, "build", "--quiet", *pinned, "--out-dir", built],
        cwd=sources,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        umask=0o022,
        check=True,
    )


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", root, *arguments], capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    for made in build(Path(sys.argv[1])):
        print(made)
