"""``pytest tests/docs --record`` puts into the documents what their commands print now."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the outputs into the documents")
