"""Read the files that declare a project: ``piccolo_conf.py`` and each ``piccolo_app.py``."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from partman.project import conf_module
from partman.sources.declarations import Call, declared
from partman.sources.modules import NotReadableError, find, read


@dataclass(frozen=True)
class AppFile:
    """A ``piccolo_app.py``."""

    module: str
    name: str
    folder: str
    """Of the migrations folder."""
    dependencies: tuple[str, ...]
    """Modules of other apps."""


def engine_arguments() -> Mapping[str, object]:
    """Return the arguments of the PartmanEngine that is ``DB`` of the conf module.

    Raises NotReadableError.
    """
    return _arguments(conf_module(), "DB", "partman.engine.PartmanEngine")


def read_apps() -> list[AppFile]:
    """Return the apps that the conf module registers, each after its dependencies.

    Raises NotReadableError.
    """
    registry = _arguments(conf_module(), "APP_REGISTRY", "piccolo.conf.apps.AppRegistry")
    return list(
        {app.module: app for app in _with_dependencies(_texts(registry.get("apps")))}.values()
    )


def _with_dependencies(modules: Iterable[str], within: tuple[str, ...] = ()) -> Iterator[AppFile]:
    for module in modules:
        if module in within:
            raise NotReadableError(module)
        app = _read_app(module)
        yield from _with_dependencies(app.dependencies, (*within, module))
        yield app


def _read_app(module: str) -> AppFile:
    config = _arguments(module, "APP_CONFIG", "piccolo.conf.apps.AppConfig")
    name, folder = config.get("app_name"), config.get("migrations_folder_path")
    if not isinstance(name, str) or not isinstance(folder, str | PurePath):
        raise NotReadableError(module)
    needed = _texts(config.get("migration_dependencies", []))
    return AppFile(module, name, str(folder), needed)


def _arguments(module: str, name: str, function: str) -> Mapping[str, object]:
    """Return the arguments of the call that creates the object with this name in a module."""
    source = find(module)[-1]
    value = declared(source, read(source.path)).get(name)
    if not isinstance(value, Call) or value.function != function:
        raise NotReadableError(module)
    return value.arguments


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise NotReadableError
    return tuple(value)
