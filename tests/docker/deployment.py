"""A copy of the project that is deployed with its compose file, as docs/docker.md says."""

import json
import re
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from tests.docker.engine import Engine
from tests.support import ROOT, Completed, query

PATIENCE = 90
"""Seconds until something that has to happen by itself is given up."""

API_IMAGE = "partman-api:docker-test"
"""The application's; whoever deploys it has to build it."""

_COPIED = ("docker", "partman", "requirements", "seeds")
_FILES = ("pyproject.toml", "README.md", "LICENSE", "piccolo_conf.py", ".dockerignore")


@dataclass(frozen=True)
class Deployment:
    """A checkout with a ``docker/.env``, and the containers that were made of it."""

    folder: Path
    engine: Engine
    name: str

    @classmethod
    def create(cls, folder: Path, engine: Engine, name: str, **settings: str) -> "Deployment":
        folder.mkdir()
        for entry in (*_COPIED, *_FILES):
            source = ROOT / entry
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".env")
                shutil.copytree(source, folder / entry, ignore=ignored)
            else:
                shutil.copy2(source, folder / entry)
        shutil.copy(folder / "docker/.env.example", folder / "docker/.env")
        deployment = cls(folder, engine, name)
        passwords = {
            "POSTGRES_PASSWORD": "the superuser's",
            "PARTMAN_OWNER_PASSWORD": "it's %41 @ owner",
            "PARTMAN_API_PASSWORD": "the first",
            "PARTMAN_SEED_PASSWORD": "the-seed's",
            "PARTMAN_CONSOLE_PASSWORD": "the console's: 100%",
            "PARTMAN_SECRET": "a secret of thirty-two characters, or more",
        }
        first = _free_ports(5)
        chosen = {
            "COMPOSE_PROJECT_NAME": name,
            "POSTGRES_PORT": str(first),
            # One for each of two replicas.
            "SERVE_PORT": f"{first + 1}-{first + 2}",
            "API_PORT": f"{first + 3}-{first + 4}",
        }
        images = {"PARTMAN_TAG": name, "API_IMAGE": API_IMAGE}
        deployment.set(**(passwords | chosen | images | settings))
        return deployment

    def set(self, **variables: str) -> None:
        """Change ``docker/.env``."""
        file = self.folder / "docker/.env"
        text = file.read_text()
        for name, value in variables.items():
            text = re.sub(rf"^{name}=.*\n", "", text, flags=re.MULTILINE)
            text += f'{name}="{value}"\n'
        file.write_text(text)

    def get(self, name: str) -> str:
        found = re.search(
            rf'^{name}="(.*)"$', (self.folder / "docker/.env").read_text(), re.MULTILINE
        )
        assert found is not None
        return found[1]

    def compose(self, *arguments: str) -> Completed:
        return self.engine.compose("-f", "docker/docker-compose.yml", *arguments, cwd=self.folder)

    def up(self, *arguments: str) -> Completed:
        return self.compose("up", "--detach", *arguments)

    def remove(self) -> None:
        # Named, they take the place of those in docker/.env.
        profiles = ("--profile", "api", "--profile", "development")
        self.compose(*profiles, "down", "--volumes", "--remove-orphans", "--timeout", "2")
        self.engine.docker("rmi", "--force", f"partman:{self.name}")

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of each container of a service, oldest first."""
        labels = (f"project={self.name}", f"service={service}", "oneoff=False")
        filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
        found = self.engine.succeed("ps", "--all", "--quiet", *filters).split()
        if not found:
            return []
        inspected: list[dict[str, Any]] = json.loads(self.engine.succeed("inspect", *found))
        return sorted(inspected, key=lambda container: str(container["Created"]))

    def container(self, service: str) -> dict[str, Any]:
        [container] = self.containers(service)
        return container

    def exit_code(self, service: str) -> int:
        """Wait until a service that ends by itself has ended."""
        return int(self.engine.succeed("wait", self.container(service)["Id"]))

    def logs(self, service: str) -> str:
        """What all containers of a service said."""
        said = (self.engine.docker("logs", each["Id"]).output for each in self.containers(service))
        return "".join(said)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.compose("logs", "--no-color").output
            time.sleep(0.1)

    def ask(self, path: str, replica: int = 0) -> tuple[int, str]:
        """Ask the service, from outside of the containers; 0 when nobody answers."""
        address = f"127.0.0.1:{self.ports('serve')[replica]}"
        connection = HTTPConnection(address, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, HTTPException):
            return 0, ""
        finally:
            connection.close()

    def ask_api(self, method: str, path: str, replica: int = 0, **options: Any) -> tuple[int, Any]:
        """Ask the application for the organization ``default``; 0 when nobody answers.

        ``json`` is what is sent; ``token`` that of who is signed in.
        """
        headers = {"Host": "default.localhost", "Content-Type": "application/json"}
        if "token" in options:
            headers["Authorization"] = f"Bearer {options['token']}"
        body = json.dumps(options["json"]) if "json" in options else None
        try:
            port = self.ports("api")[replica]
            connection = HTTPConnection(f"127.0.0.1:{port}", timeout=PATIENCE)
            with closing(connection):
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())
        except (OSError, HTTPException, LookupError, ValueError):
            return 0, None

    def sign_in(self, email: str, password: str, replica: int = 0) -> tuple[int, Any]:
        given = {"email": email, "password": password}
        return self.ask_api("POST", "/sign-in", replica, json=given)

    def api_serves(self, replica: int = 0) -> bool:
        """Whether it looks for a user, who is not there: in a block, as its own login."""
        return self.sign_in("nobody@example.com", "wrong", replica)[0] == 401

    def readiness(self, replica: int = 0) -> tuple[int, str | None]:
        """The status of the answer, and the reason in it."""
        status, body = self.ask("/health/ready", replica)
        return status, json.loads(body)["reason"] if body else None

    def ports(self, service: str) -> list[int]:
        """Where the containers of a service are reached, oldest first."""
        bound = [each["NetworkSettings"]["Ports"] for each in self.containers(service)]
        return [int(port[0]["HostPort"]) for ports in bound for port in ports.values() if port]

    def query(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the server as its superuser, from outside of the containers."""
        return query(self.url("postgres", "POSTGRES_PASSWORD"), sql, *arguments)

    def url(self, role: str, password: str) -> str:
        """Where a role logs in, with the password that has this name in ``docker/.env``."""
        secret, port = quote(self.get(password), safe=""), self.get("POSTGRES_PORT")
        return f"postgresql://{role}:{secret}@127.0.0.1:{port}/partman"


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens at."""
    while True:
        with ExitStack() as taken:
            first = int(taken.enter_context(_bound(0)).getsockname()[1])
            with suppress(OSError, OverflowError):
                for port in range(first + 1, first + count):
                    taken.enter_context(_bound(port))
                return first


def _bound(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))
