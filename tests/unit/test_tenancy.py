"""A Tenancy takes names that mean the same wherever they are written, and refuses all others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partman.errors import SettingsError
from partman.grammar.names import is_plain, quoted
from partman.isolation import Key, Roles, Tenancy

DEFAULT = Tenancy()


def test_the_defaults_are_this_projects_names() -> None:
    assert (DEFAULT.table, DEFAULT.column, DEFAULT.key) == (
        "organizations",
        "organization_id",
        "uuid",
    )
    assert DEFAULT.setting == "partman.organization_id"
    assert DEFAULT.roles.all == (
        "partman_app", "partman_api", "partman_auth", "partman_seed", "partman_console",
    )  # fmt: skip
    assert DEFAULT.attribute == "organization"


def test_roles_are_named_by_a_prefix() -> None:
    roles = Roles.named("shop")
    assert roles.all == ("shop_app", "shop_api", "shop_auth", "shop_seed", "shop_console")
    assert roles.logins == ("shop_api", "shop_console")


def test_a_project_has_only_the_roles_that_it_needs() -> None:
    roles = Roles("shop_app", "shop_api", auth=None, seed=None, console=None)
    assert Tenancy(roles=roles).roles.all == ("shop_app", "shop_api")
    assert roles.logins == ("shop_api",)


@pytest.mark.parametrize(
    ("column", "attribute"),
    [("account_id", "account"), ("tenant", "tenant"), ("class_id", "class_id")],
)
def test_the_attribute_comes_from_the_column(column: str, attribute: str) -> None:
    assert Tenancy(column=column).attribute == attribute


def test_a_key_may_be_given_by_its_type() -> None:
    given: Any = "bigint"
    assert Tenancy(key=given).key is Key.BIGINT


@pytest.mark.parametrize(
    "wrong",
    [
        "", "Accounts", "user", "order", "left", "my accounts", "my-accounts", 'a"b', "a'b", "a.b",
        "a;b", "1st", "é", "a" * 64, "a\n", "a\0", "$a", None, 5,
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["table", "column", "app", "auth"])
def test_a_name_that_would_need_quotes_is_refused(field: str, wrong: Any) -> None:
    if field == "auth" and wrong is None:
        return
    with pytest.raises(SettingsError, match=r"^Tenancy: .* Nothing was done\. Correct the Tenancy"):
        Tenancy(
            **(
                {field: wrong}
                if field in {"table", "column"}
                else {"roles": Roles(**{field: wrong})}
            )
        )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"column": "id"}, "column = 'id' is already used"),
        ({"column": "ctid"}, "column = 'ctid' is already used"),
        ({"column": "_account"}, "not allowed as a column name"),
        ({"key": "serial"}, "Key.UUID, Key.INTEGER, Key.BIGINT, Key.TEXT"),
        ({"roles": Roles(app="shop", api="shop")}, "'shop' is the name of two roles"),
        ({"roles": Roles(app="public")}, "PostgreSQL reserves"),
        ({"roles": Roles(console="pg_console")}, "PostgreSQL reserves"),
        ({"roles": "shop"}, "is not a Roles"),
        ({"setting": "account"}, "prefix.name"),
        ({"setting": "shop.account.id"}, "prefix.name"),
        ({"setting": "user.id"}, "prefix.name"),
        ({"setting": "shop.a'b"}, "prefix.name"),
        ({"setting": "plpgsql.account"}, "PostgreSQL reserves"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_values_that_the_server_rejects_are_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        Tenancy(**given)


@given(st.text(max_size=70))
def test_a_quoted_name_means_itself(name: str) -> None:
    """As quote_ident() has it; what it prints bare is in tests/database/test_tenancy_names.py."""
    if is_plain(name):
        assert quoted(name) == name == name.lower()
    else:
        assert quoted(name)[1:-1].replace('""', '"') == name
