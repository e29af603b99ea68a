"""Piccolo's entry to the project. Importing it opens no connection."""

from piccolo.conf.apps import AppRegistry

from partman.engine import PartmanEngine
from partman.tables import TENANCY

DB = PartmanEngine(tenancy=TENANCY)

APP_REGISTRY = AppRegistry(apps=["partman.piccolo_app"])
