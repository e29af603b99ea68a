"""Piccolo's entry to the project. Importing it opens no connection."""

from piccolo.conf.apps import AppRegistry

from partman.engine import PartmanEngine
from partman.isolation import Tenancy

DB = PartmanEngine(tenancy=Tenancy())

APP_REGISTRY = AppRegistry(apps=["partman.piccolo_app"])
