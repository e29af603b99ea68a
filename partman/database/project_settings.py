"""The settings of the project that a command works for."""

from partman.project import conf_module
from partman.settings import Settings
from partman.sources import NotReadableError
from partman.sources.project_files import engine_arguments, read_apps
from partman.sources.side_effects import refuse_side_effects


def project_settings() -> Settings:
    """Return the settings of the project's engine: of the environment, and of its ``config``.

    Imports the project, and with it Piccolo, only where its files do not say them by themselves.
    Raises SettingsError; ProjectError without a project; WrongEngineError for another engine.
    """
    try:
        return Settings.load(config=_config())
    except NotReadableError:
        return imported_settings()


def imported_settings() -> Settings:
    """Return project_settings() of a command that imports the project in any case.

    To read all modules of the project would take as long as to import them.
    """
    from partman.database.engine import DatabaseEngine, project_engine

    return project_engine(DatabaseEngine).settings


def _config() -> dict[str, object]:
    """Return the engine's config, where nothing but the environment could add to it."""
    arguments = engine_arguments()
    config = arguments.get("config", {}) or {}
    if not isinstance(config, dict) or arguments.get("settings") is not None:
        raise NotReadableError
    # A module that is imported on the way may load a file of variables, for one.
    refuse_side_effects([conf_module(), *(app.module for app in read_apps())])
    return config
