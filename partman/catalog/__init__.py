"""Read a database's schema as a value, and compare it with another one.

Read with ``read.read_catalog``, compare with ``compare.compare``, render with ``render.lines``.
"""
