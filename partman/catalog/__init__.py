"""What a database contains, read as a value, and compared with another one.

Read with ``read.read_catalog``, compare with ``compare.compare``, say it with ``render.lines``.
"""
