"""Commands in ``sh`` blocks, which the documents' tests do not run, and the tests that cover them.

Each entry names the covering test, or the reason why there is none.
"""

_CLONE = "tests/test_fresh_clone.py"
_WITHOUT_MAKE = f"{_CLONE}::test_the_same_without_make"
_COMPOSE = "tests/docker/test_real_compose.py"
_IMAGE = "tests/docker/test_real_image.py"
_LOGINS = "tests/database/test_logins.py::test_the_documents_steps_end_without_a_finding"
_BENCHMARK = "tests/database/test_tenancy_benchmark.py::test_every_query_is_measured_both_ways"
_BY_HAND = "it takes minutes; in short, tests/database/test_migrations_benchmark.py"
_EXAMPLE = "tests/example/test_example.py::test_it_serves_with_its_own_pool"
_CLUSTER = "tests/distributed/test_there_and_back.py"
_API = "tests/serve/test_api.py::test_a_program_signs_in_without_a_page"
_ITSELF = "it is how these tests are run"

COVERED = {
    "partman migrate && partman seed dev": _EXAMPLE,
    'export PARTMAN_SECRET="$(openssl rand -hex 32)"': _EXAMPLE,
    "uvicorn docs.example.app:app --port 8080": _EXAMPLE,
    "docker build -f docker/Dockerfile -t partman:local .": _IMAGE,
    "docker build -t partman-api:local docs/example": "tests/docker/test_compose.py",
    "docker compose -f docker/docker-compose.yml --profile api up": (
        f"{_COMPOSE}::test_a_fresh_volume_ends_with_an_api_that_serves"
    ),
    "python -m benchmarks.example --write": (
        "tests/example/test_load.py::test_no_client_sees_an_error_or_a_row_of_another_organization"
    ),
    "python -m benchmarks.example --database postgresql://postgres@coordinator/partman": (
        "tests/distributed/test_queries.py::test_many_clients_see_no_error_and_no_row_of_another"
    ),
    "pip install 'partman[testing]'": "tests/test_wheel.py",
    "make migrate": f"{_CLONE}::test_make_migrate_builds_everything_and_then_changes_nothing",
    'git clone REPOSITORY "my partman"': f"{_CLONE}::clone",
    'cd "my partman"': f"{_CLONE}::clone",
    ". .venv/bin/activate": "all documents are followed in it",
    "make test": _ITSELF,
    ".venv/bin/pytest tests/docs --record": _ITSELF,
    "python3 -m venv .venv": _WITHOUT_MAKE,
    ".venv/bin/pip install --no-deps --require-hashes -r requirements/embedded.txt": _WITHOUT_MAKE,
    ".venv/bin/pip install --no-deps --editable .": _WITHOUT_MAKE,
    ".venv/bin/piccolo migrations forwards all": _WITHOUT_MAKE,
    "uv venv": _WITHOUT_MAKE,
    "uv pip install --no-deps --require-hashes -r requirements/embedded.txt": _WITHOUT_MAKE,
    "uv pip install --no-deps --editable .": _WITHOUT_MAKE,
    "uv run --no-sync piccolo migrations forwards all": _WITHOUT_MAKE,
    "cp docker/.env.example docker/.env": "tests/docker/deployment.py",
    "docker compose -f docker/docker-compose.yml up --build": (
        f"{_COMPOSE}::test_a_fresh_volume_ends_with_an_api_that_serves"
    ),
    "docker compose -f docker/docker-compose.yml run --rm migrations status": (
        f"{_COMPOSE}::test_it_rolls_back_from_inside_of_the_container"
    ),
    "docker build -f docker/Dockerfile -t partman .": _IMAGE,
    'psql --file docker/roles.sql "postgresql://postgres@localhost/partman"': _LOGINS,
    'export DATABASE_URL="postgresql://partman_owner@localhost/partman"': _LOGINS,
    "partman migrate": _LOGINS,
    "partman drift --scratch embedded": _LOGINS,
    "partman check --scratch embedded": _LOGINS,
    ".venv/bin/pip install --no-deps --require-hashes -r requirements/serve.txt": _IMAGE,
    "partman serve": "tests/serve/test_server.py::test_it_serves_until_a_stop_signal",
    "curl -s -c jar https://console.example.com/sign-in > /dev/null": _API,
    "token=$(awk '$6 == \"csrftoken\" { print $7 }' jar)": _API,
    'curl -s -b jar -c jar -H "Referer: https://console.example.com/" '
    '-H "X-CSRFToken: $token" \\': _API,
    '    --json \'{"username": "olivia@platform.example", "password": "..."}\' '
    "https://console.example.com/sign-in": _API,
    "curl -s -b jar https://console.example.com/api/migrations": _API,
    "pip install 'partman[embedded,plan,serve] @ file:///path/to/partman-1.0.0-py3-none-any.whl'": (
        "tests/test_wheel.py::test_it_works_in_a_project_that_registers_the_app"
    ),
    "make test-corpus": _ITSELF,
    "partman distribute --check": _CLUSTER,
    "partman distribute --plan": "tests/database/test_distributed_form.py",
    "partman distribute": _CLUSTER,
    "partman undistribute": _CLUSTER,
    "make bench": _BY_HAND,
    "python -m benchmarks.readiness --write": _BY_HAND,
    "pytest -n 0 tests/browser/test_weight.py --weights": _ITSELF,
    "python -m benchmarks.growth --write": _BY_HAND,
    "python -m benchmarks.migrations --write": _BY_HAND,
    ".ci/on-postgresql-15 python -m benchmarks.migrations --test-server --write": _BY_HAND,
    ".ci/on-postgresql-15 python -m benchmarks.growth --test-server --write": _BY_HAND,
    'export PARTMAN_TEST_SERVER_SETTINGS="shared_buffers = 3GB"': _BY_HAND,
    ".ci/on-postgresql-15 python -m benchmarks.tenancy --test-server --scale 0.2 --write": (
        _BENCHMARK
    ),
    "python -m benchmarks.parts --write": _BY_HAND,
    "python -m benchmarks.parts --before ../before/.venv/bin/python --write": _BY_HAND,
    "python -m benchmarks.bulk_insert --write": (
        "tests/database/test_bulk_insert.py::test_the_benchmark_inserts_the_same_rows_in_both_ways"
    ),
    "python -m benchmarks.seeds --write": (
        "it takes minutes; what it runs is in tests/database/test_seeds.py"
    ),
    "python -m benchmarks.tenancy": _BENCHMARK,
    "python -m benchmarks.tenancy --data ~/partman-rows --write": _BENCHMARK,
    "docker run --rm --env DATABASE_URL partman": (
        f"{_COMPOSE}::test_of_two_startup_scripts_at_once_one_migrates"
    ),
}
