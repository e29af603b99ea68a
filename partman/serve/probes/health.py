"""``/health/live`` and ``/health/ready``, for container platforms and load balancers."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from partman.errors import PartmanError, PermissionDeniedError
from partman.migration.ledger.readiness import Readiness, Reason, Watch
from partman.serve.reader import Reader

logger = logging.getLogger("partman.serve")

PATIENCE = 0.9
"""Seconds that a probe waits for the database; most clients of probes wait for one second."""

NO_STORE = {"Cache-Control": "no-store"}

_IN_THE_LOG = {
    Reason.UNREACHABLE: "The database cannot be reached. The log of this service has the details.",
    Reason.UNREADABLE: "The ledger cannot be read. The log of this service has the details.",
}
"""Public messages, which leave out the names of hosts and roles."""


class Probe:
    """Answers for the database. Concurrent requests share one answer."""

    def __init__(self, reader: Reader, watch: Watch) -> None:
        self._reader = reader
        self._watch = watch
        self._asking: asyncio.Future[Readiness | None] | None = None
        self._said: tuple[Reason | None, str] | None = None

    async def readiness(self) -> Readiness:
        """Return the state of the database, within PATIENCE. Raises nothing."""
        while self._asking is not None:
            # A client that disconnects must not cancel the answer for the others.
            if (answer := await asyncio.shield(self._asking)) is not None:
                return answer
            # The one that asked was cancelled.
        self._asking = asking = asyncio.get_running_loop().create_future()
        answer = None
        try:
            answer = await self._ask()
            return answer
        finally:
            self._asking = None
            asking.set_result(answer)

    async def _ask(self) -> Readiness:
        try:
            readiness = await self._reader.ask(self._watch.look)
        except PermissionDeniedError as error:
            readiness = self._watch.failed(Reason.UNREADABLE, str(error))
        except PartmanError as error:
            readiness = self._watch.failed(Reason.UNREACHABLE, str(error))
        self._log(readiness)
        return readiness

    def _log(self, readiness: Readiness) -> None:
        """Log the readiness when it changes: a probe comes every second."""
        now = (readiness.reason, readiness.detail)
        if now == self._said:
            return
        self._said = now
        if readiness.ready:
            logger.info("ready: %s", readiness.detail)
        else:
            logger.warning("not ready, %s: %s", readiness.reason, readiness.detail)


def routes(probe: Probe) -> list[Route]:
    """Return the routes; both also answer HEAD."""

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"live": True}, headers=NO_STORE)

    async def ready(_: Request) -> Response:
        readiness = await probe.readiness()
        code = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(body.of(readiness), code, NO_STORE, "application/json")

    body = _Body()
    return [Route("/health/live", live), Route("/health/ready", ready)]


class _Body:
    """The answer as JSON, kept as long as the probe gives the same object."""

    def __init__(self) -> None:
        self._last: tuple[Readiness, bytes] | None = None

    def of(self, readiness: Readiness) -> bytes:
        """Return the answer."""
        if self._last is None or self._last[0] is not readiness:
            self._last = readiness, bytes(JSONResponse(readiness_facts(readiness)).body)
        return self._last[1]


def readiness_facts(readiness: Readiness) -> dict[str, Any]:
    """Return what programs are told of it."""
    status = readiness.status
    return {
        "ready": readiness.ready,
        "reason": readiness.reason,
        "detail": _IN_THE_LOG.get(readiness.reason, readiness.detail)
        if readiness.reason
        else readiness.detail,
        "version": status.version if status else None,
        "expected": readiness.expected,
        "pending": [state.id for state in status.pending] if status else None,
        "problems": [
            {"kind": problem.kind, "migration": problem.migration, "message": problem.message}
            for problem in readiness.problems
        ],
    }
