"""Read a project's declarations from its Python files without running them.

Importing Piccolo, the project's tables and every migration takes several times as long as asking
the database. So commands that only look read the files, if the result equals that of an import.
Otherwise NotReadableError is raised, and the caller imports.

Two assumptions: no module changes the names of another one, and the packages in ``modules.TRUSTED``
leave the environment variables alone.
"""

from partman.sources.modules import NotReadableError

__all__ = ["NotReadableError"]
