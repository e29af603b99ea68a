"""How far a step is: one line that is rewritten on a terminal, few lines in a log."""

import logging
from dataclasses import replace

import pytest

from partman.migration.runner import step_output
from partman.migration.runner.step_output import StepOutput
from partman.settings import LogFormat, Settings

pytestmark = pytest.mark.same_on_every_version

SETTINGS = Settings.load({})


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("partman"), "propagate", True)
    caplog.set_level(logging.INFO, "partman.run")


def _printed(settings: Settings, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    output = StepOutput(settings, "1/2", "CREATE INDEX")
    output.progress("one")
    output.progress("two")
    output.say("It waits.")
    output.progress("three")
    output.end("done")
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_a_terminal_has_one_line_that_is_rewritten(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step_output, "is_terminal", lambda: True)
    out, err = _printed(SETTINGS, capsys)
    erase = "\r\x1b[2K"
    assert err.startswith(f"    one{erase}    two{erase}")
    assert err.endswith(f"    three{erase}")
    assert out == "    1/2 CREATE INDEX ... \n    1/2 done\n"
    assert caplog.messages == ["It waits."]


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_log_has_a_line_from_time_to_time(
    log_format: LogFormat,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step_output, "is_terminal", lambda: log_format is LogFormat.JSON)
    times = iter([0.0, 9.9, 10.0, 10.0, 19.9])
    monkeypatch.setattr(step_output, "monotonic", lambda: next(times))
    out, _ = _printed(replace(SETTINGS, log_format=log_format), capsys)
    assert caplog.messages == ["two", "It waits."]
    assert out == "    1/2 CREATE INDEX ... \n    1/2 done\n"


def test_a_step_that_waits_for_nothing_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    StepOutput(SETTINGS, "1/1", "CREATE TABLE").end("done")
    assert capsys.readouterr().out == "    1/1 CREATE TABLE ... done\n"
