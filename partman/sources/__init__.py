"""What a project's Python files say, as far as it can be told without running them.

Importing Piccolo, the project's tables and every migration takes several times as long as asking
the database. So a command that only looks reads the files instead, where what they say is what an
import would say. Everything else is a NotReadableError, and its caller imports.

Two things are taken for granted: that no module changes the names of another one, and that the
packages in ``modules.TRUSTED`` leave the environment variables alone.
"""

from partman.sources.modules import NotReadableError

__all__ = ["NotReadableError"]
