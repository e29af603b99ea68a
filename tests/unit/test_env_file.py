"""The file ``.env`` beside ``piccolo_conf.py``: where it is read, and what wins."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from partman import env_file, project
from partman.errors import SettingsError
from partman.settings import Environment, Settings

pytestmark = pytest.mark.same_on_every_version

URL = "postgresql://ann@db.example/shop_dev"
OTHER = "postgresql://ann@db.example/other"
OURS = ("DATABASE_URL", "PARTMAN_ENV", "PARTMAN_LOCK_WAIT", "SHOP_KEY")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(project, "folder", lambda: tmp_path)
    monkeypatch.setattr(env_file, "_from_file", {})
    before = dict(os.environ)
    for name in OURS:
        os.environ.pop(name, None)
    yield tmp_path / ".env"
    os.environ.clear()
    os.environ.update(before)


def test_it_is_read_in_development(file: Path) -> None:
    file.write_text(
        f"# ours\nexport PARTMAN_ENV=development\nDATABASE_URL='{URL}'\n\nSHOP_KEY=\"a # b\"\n"
    )
    settings = Settings.load()
    assert (settings.environment, settings.database_url) == (Environment.DEVELOPMENT, URL)
    assert settings.url_source == f"DATABASE_URL in {file}"
    assert os.environ["SHOP_KEY"] == "a # b", "the application's own, too"
    assert Settings.load() == settings


def test_a_dollar_is_a_dollar(file: Path) -> None:
    file.write_text("SHOP_KEY=$HOME/${PATH}\n")
    Settings.load()
    assert os.environ["SHOP_KEY"] == "$HOME/${PATH}"


@pytest.mark.parametrize("value", [OTHER, ""])
def test_it_never_overrides_the_environment(file: Path, value: str) -> None:
    file.write_text(f"PARTMAN_ENV=development\nDATABASE_URL={URL}\n")
    os.environ |= {"DATABASE_URL": value, "PARTMAN_ENV": "development"}
    settings = Settings.load()
    assert settings.database_url == (value or None)
    assert settings.url_source == "DATABASE_URL"


@pytest.mark.parametrize(
    ("variables", "config"),
    [
        ({"DATABASE_URL": OTHER}, {}),
        ({}, {"dsn": OTHER}),
        ({"PARTMAN_ENV": "production", "DATABASE_URL": OTHER}, {}),
        ({"PARTMAN_ENV": "staging"}, {"dsn": OTHER}),
        ({"PARTMAN_ENV": "test"}, {}),
    ],
)
def test_elsewhere_it_is_not_even_opened(
    file: Path, variables: dict[str, str], config: dict[str, str]
) -> None:
    """A file that was copied into an image must not make it development."""
    file.write_text(f"PARTMAN_ENV=development\nDATABASE_URL={URL}\n\0=not valid\n")
    os.environ |= variables
    settings = Settings.load(config=config)
    assert settings.environment is not Environment.DEVELOPMENT
    assert settings.database_url in (OTHER, None)


def test_an_environment_that_is_given_is_not_added_to(file: Path) -> None:
    file.write_text("PARTMAN_LOCK_WAIT=soon\n")
    assert Settings.load({}).environment is Environment.DEVELOPMENT


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("PARTMAN_ENV=production", "is for development, and says PARTMAN_ENV=production"),
        (f"DATABASE_URL={URL}", "Add to it: PARTMAN_ENV=development"),
        ("PICCOLO_CONF=other_conf", "sets PICCOLO_CONF, which is read before"),
        ("PARTMAN_LOCK_WAIT=soon", "PARTMAN_LOCK_WAIT in FILE is 'soon'; it must be a number"),
        ("PARTMAN_POOLING=some", "PARTMAN_POOLING in FILE is 'some'; it must be one of"),
        ("PARTMAN_ENV=development\nDATABASE_URL=mysql://", "DATABASE_URL in FILE must start with"),
        ("SHOP_KEY=\udcff", "FILE cannot be read"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(file: Path, text: str, told: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert told.replace("FILE", str(file)) in str(refused.value)
    assert "ann@" not in str(refused.value)
