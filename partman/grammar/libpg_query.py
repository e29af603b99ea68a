"""PostgreSQL's parser, as a library: https://github.com/pganalyze/libpg_query.

The library comes with the package postgast. Its parse tree is read as JSON, through the C function
``pg_query_parse``: importing postgast itself takes 0.3 s, longer than a whole run of migrations.
"""

import ctypes
import functools
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from partman.errors import NotInstalledError

_FILES = {"darwin": "libpg_query.dylib", "win32": "pg_query.dll"}


class _Error(ctypes.Structure):
    _fields_ = [
        ("message", ctypes.c_char_p),
        ("funcname", ctypes.c_char_p),
        ("filename", ctypes.c_char_p),
        ("lineno", ctypes.c_int),
        ("cursorpos", ctypes.c_int),
        ("context", ctypes.c_char_p),
    ]


class _ParseResult(ctypes.Structure):
    _fields_ = [
        ("parse_tree", ctypes.c_char_p),
        ("stderr_buffer", ctypes.c_char_p),
        ("error", ctypes.POINTER(_Error)),
    ]


class _Protobuf(ctypes.Structure):
    _fields_ = [("len", ctypes.c_size_t), ("data", ctypes.POINTER(ctypes.c_char))]


class _ScanResult(ctypes.Structure):
    _fields_ = [
        ("pbuf", _Protobuf),
        ("stderr_buffer", ctypes.c_char_p),
        ("error", ctypes.POINTER(_Error)),
    ]


def parse_tree(sql: bytes) -> list[dict[str, Any]] | None:
    """Return the parse tree of each statement of a string; None if the grammar rejects it.

    A tree is a ``RawStmt`` of PostgreSQL's parser, with positions in bytes. Raises
    NotInstalledError.
    """
    library = _library()
    result = library.pg_query_parse(sql)
    try:
        if result.error:
            return None
        statements: list[dict[str, Any]] = json.loads(result.parse_tree)["stmts"]
        return statements
    finally:
        library.pg_query_free_parse_result(result)


def scan_result(sql: bytes) -> bytes | None:
    """Return the tokens of a string, as a message of pg_query.proto; None if it is rejected.

    Raises NotInstalledError.
    """
    library = _library()
    result = library.pg_query_scan(sql)
    try:
        return None if result.error else ctypes.string_at(result.pbuf.data, result.pbuf.len)
    finally:
        library.pg_query_free_scan_result(result)


@functools.cache
def _library() -> ctypes.CDLL:
    found = importlib.util.find_spec("postgast")
    folder = Path(found.origin).parent if found and found.origin else Path()
    try:
        library = ctypes.CDLL(str(folder / _FILES.get(sys.platform, "libpg_query.so")))
    except OSError as error:
        raise NotInstalledError(
            f"PostgreSQL's parser cannot be loaded: {error}. Nothing was run. Install it again: "
            "pip install --force-reinstall postgast"
        ) from error
    library.pg_query_parse.restype = _ParseResult
    library.pg_query_parse.argtypes = [ctypes.c_char_p]
    library.pg_query_free_parse_result.argtypes = [_ParseResult]
    library.pg_query_scan.restype = _ScanResult
    library.pg_query_scan.argtypes = [ctypes.c_char_p]
    library.pg_query_free_scan_result.argtypes = [_ScanResult]
    return library
