"""Makes the sample on a server, and reads its catalog.

``python -m tests.database.catalog_on_server`` does it on the one that PARTMAN_TEST_DATABASE_URL
names, and prints the catalog, pickled.
"""

import base64
import pickle

from partman.catalog.model import Catalog
from partman.piccolo_migrations.partman_2026_11_24t09_10_00_isolation import ROLES
from tests.catalog import read
from tests.database.catalog_sample import SAMPLE
from tests.support import execute, temporary_database

# Where PostgreSQL 15 writes more qualifiers than later ones, and where it does not.
VIEWS = [
    "CREATE TABLE t (a int, b text, v int)",
    "CREATE TABLE v (v int, t int)",
    "CREATE VIEW one AS SELECT a, b AS x FROM t WHERE a > 1 ORDER BY b, a",
    'CREATE VIEW alias AS SELECT "T t".a AS "T t.a", \'t.a\' AS b FROM t "T t"',
    "CREATE VIEW exists AS SELECT a FROM t WHERE EXISTS (SELECT FROM v WHERE v.t = t.a)",
    "CREATE VIEW scalar AS SELECT a, (SELECT max(v.v) FROM v WHERE v.t = t.v) FROM t",
    "CREATE VIEW only_scalar AS SELECT (SELECT max(v.v) FROM v)",
    "CREATE VIEW grouped AS SELECT a, count(*) FROM t GROUP BY a HAVING count(b) > 1",
    "CREATE VIEW united AS SELECT a FROM t UNION SELECT v FROM v ORDER BY 1",
    "CREATE VIEW united_same AS SELECT v FROM v UNION SELECT t FROM v",
    "CREATE VIEW aliased AS SELECT j.a FROM (t JOIN v USING (v)) AS j",
    "CREATE SCHEMA q CREATE TABLE q (q int)",
    "CREATE VIEW schema_name AS SELECT q FROM q.q WHERE q > 1",
    "CREATE VIEW joined AS SELECT t.a FROM t JOIN v USING (v)",
    "CREATE VIEW crossed AS SELECT t.a, v.v FROM t, v",
    "CREATE VIEW expression AS WITH c AS (SELECT a FROM t) SELECT a FROM c",
    "CREATE VIEW subquery AS SELECT a FROM (SELECT a, b FROM t) s WHERE b > ''",
    "CREATE VIEW windowed AS SELECT a, row_number() OVER w FROM t WINDOW w AS (PARTITION BY b)",
    "CREATE VIEW series AS SELECT x + 1 AS y FROM generate_series(1, 3) x",
    "CREATE VIEW whole AS SELECT row_to_json(t) AS j, t AS r FROM t",
    "CREATE VIEW extracted AS SELECT extract(year FROM now()) AS y, a FROM t WHERE a IS NOT NULL",
    "CREATE VIEW own_name AS SELECT v, t FROM v WHERE v IS DISTINCT FROM t",
    "CREATE VIEW sampled AS SELECT a FROM t TABLESAMPLE system (10)",
    "CREATE VIEW listed AS SELECT column1 FROM (VALUES (1), (2)) q",
    "CREATE VIEW cased AS SELECT CASE WHEN a = 1 THEN b ELSE 'FROM t, v WHERE t.a' END FROM t",
    'CREATE VIEW "limited" AS SELECT DISTINCT ON (a) a FROM ONLY t ORDER BY a, b LIMIT 5',
]


def catalog() -> Catalog:
    """Return the catalog of a database that is made for it on the server."""
    with temporary_database() as database:
        execute(database.url, ROLES, *SAMPLE, *VIEWS)
        return read(database.url)


if __name__ == "__main__":
    print(base64.b64encode(pickle.dumps(catalog())).decode())
