"""Print the SQL of each migration of Django apps as JSON, in the order in which Django runs them.

It runs in a process of its own, which has Django on its path. Each migration is applied to the
database after its SQL is collected, because Django looks for the names of constraints there.

``python django_sql.py HOST PORT USER DATABASE APP…``
"""

import json
import sys

import django
from django.conf import settings

host, port, user, database, *apps = sys.argv[1:]
settings.configure(
    INSTALLED_APPS=apps,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": host,
            "PORT": port,
            "USER": user,
            "NAME": database,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIDDLEWARE=["allauth.account.middleware.AccountMiddleware"],
    SECRET_KEY="unused",
    SITE_ID=1,
    USE_TZ=True,
)
django.setup()

from django.db import connection  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402

executor = MigrationExecutor(connection)
state = executor._create_project_state(with_applied_migrations=True)
found = []
for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes()):
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        migration.apply(state.clone(), editor, collect_sql=True)
    found.append([f"{migration.app_label}_{migration.name}", "\n".join(editor.collected_sql)])
    with connection.schema_editor(atomic=migration.atomic) as editor:
        state = migration.apply(state, editor)
    connection.close()
print(json.dumps(found))
