"""A document's commands run the code of its own checkout."""

from pathlib import Path

from tests.docs.following import copy_checkout
from tests.faults.processes import zygote_of
from tests.support import ROOT, run


def test_a_checkouts_commands_import_its_partman_and_no_older_text(tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    (tmp_path / "told.py").write_text(
        "import partman.settings, partman.tables\n"
        "print(partman.settings.__file__, partman.tables.__file__, *partman.tables.__path__)\n"
    )
    command, environment = ("python", "-m", "told"), {"PYTHONPATH": str(tmp_path)}
    with zygote_of(tmp_path) as level:
        told = run(*command, environment=environment, cwd=tmp_path, level=level)
        assert told.code == 0, told.output
        assert all(path.startswith(f"{tmp_path}/partman/") for path in told.stdout.split())

        (tmp_path / "partman" / "tables" / "added.py").write_text("print('added')\n")
        assert run(*command, environment=environment, cwd=tmp_path, level=level).code == 0

        elsewhere = run(*command, environment={}, cwd=ROOT, level=level)
        assert "a partman of its own" in elsewhere.stderr

        with (tmp_path / "partman" / "settings.py").open("a") as file:
            file.write("# edited\n")
        edited = run(*command, environment=environment, cwd=tmp_path, level=level)
        assert edited.code == 1
        assert "edited after this process had imported it" in edited.stderr
