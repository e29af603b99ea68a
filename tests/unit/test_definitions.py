"""Constraints and indexes are what PostgreSQL's grammar says."""

import pytest

from partman.catalog.definitions import (
    IndexKey,
    foreign_key,
    is_check,
    unique_index,
    unique_key,
)


def test_a_foreign_key_has_its_columns_table_and_action() -> None:
    key = foreign_key(
        'FOREIGN KEY (a, "b, (c)") REFERENCES public."the ""table"""(x, "y)") MATCH FULL'
        " ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE NOT VALID"
    )
    assert key is not None
    assert key.columns == ("a", '"b, (c)"')
    assert key.table == 'public."the ""table"""'
    assert key.referenced == ("x", '"y)"')
    assert key.on_delete == "SET NULL"
    assert key.matches_full
    plain = foreign_key("FOREIGN KEY (a) REFERENCES public.t(id) ON DELETE SET NULL (a)")
    assert plain is not None
    assert (plain.on_delete, plain.matches_full) == ("SET NULL", False)


def test_a_key_has_its_columns_and_what_comes_with_them() -> None:
    key = unique_key(
        'UNIQUE NULLS NOT DISTINCT ("INCLUDE (x)", b) INCLUDE (c) DEFERRABLE INITIALLY DEFERRED'
    )
    assert key is not None
    assert (key.is_primary, key.columns, key.included) == (False, ('"INCLUDE (x)"', "b"), ("c",))
    assert (key.nulls_are_distinct, key.timing) == (False, "DEFERRABLE INITIALLY DEFERRED")
    primary = unique_key("PRIMARY KEY (id)")
    assert primary is not None
    assert (primary.is_primary, primary.nulls_are_distinct, primary.timing) == (True, True, None)


@pytest.mark.parametrize(
    "definition",
    [
        "CHECK ((a > 0))",
        "CHECK (((kind)::text = 'FOREIGN KEY (a) REFERENCES b(c)'::text)) NOT VALID",
        "EXCLUDE USING gist (a WITH &&)",
        "UNIQUE (a, period WITHOUT OVERLAPS)",
        "NOT NULL a",
        "TRIGGER",
    ],
)
def test_other_constraints_are_no_key(definition: str) -> None:
    assert unique_key(definition) is None
    assert foreign_key(definition) is None
    assert is_check(definition) is definition.startswith("CHECK")


def test_a_unique_index_has_its_keys() -> None:
    index = unique_index(
        'CREATE UNIQUE INDEX i ON public.t USING btree (a, lower(b) DESC NULLS LAST, "c DESC",'
        ' d COLLATE "C", e text_pattern_ops) NULLS NOT DISTINCT WHERE (a IS NOT NULL)'
    )
    assert index is not None
    assert not index.nulls_are_distinct
    assert index.keys == (
        IndexKey("a", "", is_plain=True),
        IndexKey(None, " DESC NULLS LAST", is_plain=True),
        IndexKey('"c DESC"', "", is_plain=True),
        IndexKey("d", "", is_plain=False),
        IndexKey("e", "", is_plain=False),
    )
    assert unique_index("CREATE INDEX i ON public.t USING btree (a)") is None
