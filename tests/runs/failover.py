"""A proxy that a run reaches its database through, whichever server that is at the moment."""

from collections.abc import Callable

from tests.faults.cutting import CuttingProxy
from tests.proxy import address
from tests.runs.servers import Pair


class FailoverProxy(CuttingProxy):
    """Leads to the primary, and after ``fail_over`` to the standby that has taken its place.

    ``at_commit``: at the n-th COMMIT, of which the answer does not arrive, that happens by itself,
    before the client notices anything.
    """

    def __init__(
        self, pair: Pair, *, at_commit: int = 0, before: Callable[[], None] = lambda: None
    ) -> None:
        """``before`` is called before the failover."""
        self._pair = pair
        self._before = before
        super().__init__(
            pair.primary.database,
            at_request=(b"COMMIT\x00", at_commit) if at_commit else (b"", 0),
            arrives=True,
            cut=self.fail_over,
        )

    def _do_cut(self) -> None:
        # The client notices nothing until the standby has taken the primary's place.
        self._cut()
        self.has_cut.set()

    def fail_over(self) -> None:
        """Lead later connections to the standby, once it is the primary."""
        self._before()
        self._pair.fail_over()
        self._target = address(self._pair.standby.database.url)
