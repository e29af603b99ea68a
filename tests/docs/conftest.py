"""``pytest tests/docs --record`` writes the current output of commands into the documents."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the outputs into the documents")
