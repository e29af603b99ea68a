"""What a partner earns from a deal: the one place that knows commission structures.

``partners.commission_structure`` has a ``type`` and what that type needs. Rates are in percent
of the deal's value; money is a decimal string, so that no JSON parser rounds it.

=============== ============================================= ==================================
type            example                                       meaning
=============== ============================================= ==================================
reseller        ``{"type":"reseller","rate":30}``             the margin of who sells the deal
referral        ``{"type":"referral","rate":15}``             paid once, for the introduction
revenue_share   ``{"type":"revenue_share","rate":12,          of the revenue; paid out over
                "months":12}``                                ``months``
tiered          ``{"type":"tiered","tiers":[                  the rate of the highest tier whose
                {"from":"0.00","rate":8},                     ``from`` the deal reaches, on all
                {"from":"50000.00","rate":12}]}``             of the deal, in its own currency
flat_fee        ``{"type":"flat_fee","fees":                  the same for every deal, by the
                {"USD":"2500.00","EUR":"2300.00"}}``          deal's currency
=============== ============================================= ==================================

``opportunities.commission_details`` repeats the ``type``, the ``rate`` that was applied (none
for a flat fee), the ``amount`` with its ``currency``, and the ``payout``: ``projected`` while
the deal is open, ``due`` or ``paid`` when it is won, ``void`` when it is lost.
"""

import json
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

from partman.tables.partner import CommissionType
from seeds.rows import to_json

CENT = Decimal("0.01")

Structure = Mapping[str, Any]


def applied_rate(structure: Structure, deal_value: Decimal) -> int | None:
    """Return the rate, in percent, for a deal of this value; None for a flat fee."""
    match CommissionType(structure["type"]):
        case CommissionType.FLAT_FEE:
            return None
        case CommissionType.TIERED:
            reached = [tier for tier in structure["tiers"] if Decimal(tier["from"]) <= deal_value]
            rate: int = max(reached, key=lambda tier: Decimal(tier["from"]))["rate"]
        case _:
            rate = structure["rate"]
    return rate


def details(
    structure: Structure, deal_value: Decimal, currency: str, payout: str
) -> dict[str, Any]:
    """Return the ``commission_details`` of a deal; the amount is rounded half up to cents.

    Raises KeyError for a currency without an agreed flat fee.
    """
    rate = applied_rate(structure, deal_value)
    if rate is None:
        amount = Decimal(structure["fees"][currency])
    else:
        amount = (deal_value * rate / 100).quantize(CENT, ROUND_HALF_UP)
    return {
        "type": structure["type"],
        **({} if rate is None else {"rate": rate}),
        "amount": str(amount),
        "currency": currency,
        "payout": payout,
    }


def details_json(structure: str, deal_value: Decimal, currency: str, payout: str) -> str:
    """Return ``details`` as the text of a JSON column; ``structure`` is such a text, too."""
    return _details_before_payout(structure, deal_value, currency) + f'"{payout}"}}'


@cache
def _details_before_payout(structure: str, deal_value: Decimal, currency: str) -> str:
    """Prices, partners and currencies are few, so that most deals repeat an earlier one's."""
    return to_json(details(json.loads(structure), deal_value, currency, "")).removesuffix('""}')
