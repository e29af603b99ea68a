"""Words for the development data.

DataDog and Lacework are from the user story; all other names are invented. Addresses are under
``.example``, which is never delivered (RFC 2606).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from seeds.dice import Dice

ORGANIZATIONS_FIRST = (
    "Amber", "Basalt", "Cedar", "Cobalt", "Copper", "Crescent", "Elm", "Falcon", "Granite",
    "Harbor", "Indigo", "Juniper", "Keystone", "Lantern", "Maple", "Meridian", "Northgate",
    "Orchard", "Pinnacle", "Quarry", "Redwood", "Sable", "Tidewater", "Umber", "Vantage",
)  # fmt: skip
ORGANIZATIONS_LAST = (
    "Channel Partners", "Cloud Alliance", "Consulting", "Digital", "Integrators", "IT Services",
    "Networks", "Solutions", "Systems", "Technology Group",
)  # fmt: skip

FIRST_NAMES = (
    "Aisha", "Alejandro", "Anna", "Beatriz", "Chidi", "Clara", "Daniel", "Elena", "Farid",
    "Grace", "Hannah", "Ivan", "Joana", "Kenji", "Lars", "Leila", "Lucas", "Maya", "Mei",
    "Nadia", "Noah", "Olga", "Priya", "Rafael", "Samuel", "Sofia", "Tomasz", "Valentina",
    "William", "Yusuf",
)  # fmt: skip
LAST_NAMES = (
    "Adeyemi", "Andersen", "Bauer", "Carvalho", "Chen", "Costa", "Dubois", "Fischer", "Garcia",
    "Haddad", "Ivanova", "Jansen", "Kim", "Kowalski", "Lindqvist", "Martin", "Mehta", "Moreau",
    "Nakamura", "Novak", "Okafor", "Patel", "Quinn", "Rossi", "Santos", "Schmidt", "Silva",
    "Taylor", "Walsh", "Yilmaz",
)  # fmt: skip
TITLES = (
    "CIO", "CISO", "CTO", "Director of Infrastructure", "Head of Platform", "Head of Procurement",
    "IT Manager", "VP Engineering",
)  # fmt: skip

CUSTOMERS_FIRST = (
    "Alder", "Ardent", "Bellwether", "Blue Heron", "Brightwater", "Calder", "Clearfield",
    "Driftwood", "Eastbrook", "Evergreen", "Fairmont", "Foxglove", "Greystone", "Hallmark",
    "Hawthorn", "Highland", "Ironbridge", "Kestrel", "Lakeshore", "Linden", "Longview", "Marigold",
    "Millbrook", "Northstar", "Oakhurst", "Pemberton", "Ridgeway", "Riverside", "Rosewood",
    "Silverline", "Stonegate", "Summit", "Thornbury", "Westfield", "Whitecliff", "Winterbourne",
)  # fmt: skip
CUSTOMERS_LAST = (
    "Airlines", "Bank", "Biotech", "Capital", "Clinics", "Energy", "Foods", "Freight", "Hotels",
    "Insurance", "Logistics", "Manufacturing", "Media", "Pharma", "Retail", "Robotics",
    "Telecom", "University",
)  # fmt: skip


class PartnerProfile(NamedTuple):
    """A partner before its health and contact are drawn."""

    name: str
    domain: str
    commission_structure: Mapping[str, Any]


_TIERS = (
    {"from": "0.00", "rate": 8},
    {"from": "50000.00", "rate": 12},
    {"from": "250000.00", "rate": 15},
)
_SMALL_FEES = {"USD": "1500.00", "EUR": "1400.00", "GBP": "1200.00", "CAD": "2000.00"}
_LARGE_FEES = {"USD": "4000.00", "EUR": "3700.00", "GBP": "3200.00", "CAD": "5500.00"}

PARTNERS = (
    PartnerProfile("DataDog", "observability", {"type": "reseller", "rate": 30}),
    PartnerProfile("Lacework", "security", {"type": "referral", "rate": 15}),
    PartnerProfile("Stratus Identity", "identity", {"type": "tiered", "tiers": _TIERS}),
    PartnerProfile(
        "Pipewright", "data integration", {"type": "revenue_share", "rate": 12, "months": 12}
    ),
    PartnerProfile("Vaultline", "backup", {"type": "flat_fee", "fees": _SMALL_FEES}),
    PartnerProfile("Hexagrid", "networking", {"type": "reseller", "rate": 22}),
    PartnerProfile("Quillstack", "developer tools", {"type": "referral", "rate": 10}),
    PartnerProfile("Tallyforge", "billing", {"type": "flat_fee", "fees": _LARGE_FEES}),
)
"""The partners of every organization, so that two organizations can be compared; they include every
type of commission.
"""

CURRENCIES = ("USD", "EUR", "GBP", "CAD")
"""The currencies of the deals: those with agreed flat fees."""

TIME_ZONES: Mapping[str, str] = {
    "USD": "America/New_York",
    "EUR": "Europe/Berlin",
    "GBP": "Europe/London",
    "CAD": "America/Toronto",
}


class Person(NamedTuple):
    """A person's name."""

    first: str
    last: str

    @property
    def full(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"

    def email_at(self, domain: str) -> str:
        """Return the address at a domain."""
        return f"{self.first}.{self.last}@{domain}".lower()


def people(rng: Dice, count: int) -> list[Person]:
    """Return that many people, all with different names."""
    numbers = rng.sample(range(len(FIRST_NAMES) * len(LAST_NAMES)), count)
    return [_person(number) for number in numbers]


def person(rng: Dice) -> Person:
    """Return a random person."""
    return _person(rng.below(len(FIRST_NAMES) * len(LAST_NAMES)))


def customer(rng: Dice) -> str:
    """Return the name of a customer."""
    return f"{rng.pick(CUSTOMERS_FIRST)} {rng.pick(CUSTOMERS_LAST)}"


def organization(number: int) -> str:
    """Return the name of the n-th organization; no two are equal."""
    names = len(ORGANIZATIONS_FIRST) * len(ORGANIZATIONS_LAST)
    again, index = divmod(number, names)
    block, first_index = divmod(index, len(ORGANIZATIONS_FIRST))
    # A block pairs each first word once; each block starts one last word later.
    first = ORGANIZATIONS_FIRST[first_index]
    last = ORGANIZATIONS_LAST[(first_index + block) % len(ORGANIZATIONS_LAST)]
    return f"{first} {last}" + (f" {again + 1}" if again else "")


def subdomain(name: str) -> str:
    """Return a name as a DNS label."""
    return name.lower().replace(" ", "-")


def _person(number: int) -> Person:
    first, last = divmod(number, len(LAST_NAMES))
    return Person(FIRST_NAMES[first], LAST_NAMES[last])
