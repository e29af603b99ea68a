"""What the environment says, and which environment it is when nobody says."""

from pathlib import Path

import pytest

from partman.errors import ExitCode, SettingsError
from partman.settings import POLICIES, Environment, LogFormat, Pooling, Settings

URL = {"DATABASE_URL": "postgresql://someone@host/db"}


class TestEnvironment:
    @pytest.mark.parametrize(
        ("variables", "environment"),
        [
            ({}, Environment.DEVELOPMENT),
            (URL, Environment.PRODUCTION),
            ({"DATABASE_URL": ""}, Environment.DEVELOPMENT),
            ({"PARTMAN_ENV": ""}, Environment.DEVELOPMENT),
            (URL | {"PARTMAN_ENV": ""}, Environment.PRODUCTION),
            ({"PARTMAN_ENV": "test"}, Environment.TEST),
            (URL | {"PARTMAN_ENV": "development"}, Environment.DEVELOPMENT),
            (URL | {"PARTMAN_ENV": "test"}, Environment.TEST),
            (URL | {"PARTMAN_ENV": "staging"}, Environment.STAGING),
            (URL | {"PARTMAN_ENV": "production"}, Environment.PRODUCTION),
            (URL | {"PARTMAN_ENV": " Staging "}, Environment.STAGING),
        ],
    )
    def test_follows_from_both_variables(
        self, variables: dict[str, str], environment: Environment
    ) -> None:
        assert Settings.load(variables).environment is environment

    @pytest.mark.parametrize("environment", ["staging", "production"])
    @pytest.mark.parametrize("url", [{}, {"DATABASE_URL": ""}])
    def test_needs_a_url_where_data_matters(self, environment: str, url: dict[str, str]) -> None:
        with pytest.raises(SettingsError, match="DATABASE_URL must be set") as refused:
            Settings.load(url | {"PARTMAN_ENV": environment})
        assert environment in str(refused.value)

    @pytest.mark.parametrize("environment", list(Environment))
    def test_decides_the_policy(self, environment: Environment) -> None:
        settings = Settings.load(URL | {"PARTMAN_ENV": environment})
        assert settings.policy == POLICIES[environment]

    def test_development_seeds_go_in_nowhere_else(self) -> None:
        allowed = {name for name, policy in POLICIES.items() if policy.development_seeds}
        assert allowed == {Environment.DEVELOPMENT}

    @pytest.mark.parametrize("environment", [Environment.STAGING, Environment.PRODUCTION])
    def test_where_data_matters_nothing_is_lost_or_redone(self, environment: Environment) -> None:
        policy = POLICIES[environment]
        assert policy.strict_preflight
        assert not policy.data_loss
        assert not policy.redo
        assert not policy.embedded_server


class TestTheApplicationsLogin:
    APP = "PARTMAN_APP_DATABASE_URL"

    def test_is_the_same_unless_it_is_named(self) -> None:
        assert Settings.load(URL | {self.APP: ""}).app_database_url is None
        settings = Settings.load(URL)
        assert settings.of_the_application == settings

    def test_has_its_own_url_and_source(self) -> None:
        app = "postgresql://app@pooler/db"
        config = {"dsn": "postgresql://owner@host/db", "command_timeout": 3, "passfile": "/f"}
        settings = Settings.load({self.APP: app}, config=config)
        assert settings.database_url == config["dsn"]
        of_app = settings.of_the_application
        assert (of_app.database_url, of_app.url_source) == (app, self.APP)
        assert of_app.driver_options == {"command_timeout": 3}
        assert settings.on_embedded_server.app_database_url is None

    @pytest.mark.parametrize("url", ["mysql://app@host/db", "postgresql://a:p/q@host/db"])
    def test_is_checked_without_being_printed(self, url: str) -> None:
        with pytest.raises(SettingsError, match=self.APP) as refused:
            Settings.load(URL | {self.APP: url})
        assert url not in str(refused.value)

    def test_alone_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="PARTMAN_APP_DATABASE_URL is set and DATABASE_URL"):
            Settings.load({self.APP: "postgresql://app@host/db"})


class TestSeconds:
    @pytest.mark.parametrize(
        ("name", "attribute"),
        [
            ("PARTMAN_LOCK_WAIT", "lock_wait"),
            ("PARTMAN_LOCK_TIMEOUT", "lock_timeout"),
            ("PARTMAN_STATEMENT_TIMEOUT", "statement_timeout"),
            ("PARTMAN_STEP_PATIENCE", "step_patience"),
        ],
    )
    @pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("1.5", 1.5), ("2000000", 2000000)])
    def test_replace_the_environments(
        self, name: str, attribute: str, value: str, seconds: float
    ) -> None:
        assert getattr(Settings.load({name: value}).policy, attribute) == seconds

    @pytest.mark.parametrize(
        "name",
        [
            "PARTMAN_LOCK_WAIT",
            "PARTMAN_LOCK_TIMEOUT",
            "PARTMAN_STATEMENT_TIMEOUT",
            "PARTMAN_STEP_PATIENCE",
        ],
    )
    @pytest.mark.parametrize("value", ["-1", "soon", "5s", "nan", "inf", "2000001", "1e99"])
    def test_that_make_no_sense_are_refused_by_name(self, name: str, value: str) -> None:
        with pytest.raises(SettingsError, match=rf"^{name} is '{value}'"):
            Settings.load({name: value})

    def test_change_nothing_else(self) -> None:
        changed = Settings.load(URL | {"PARTMAN_LOCK_WAIT": "1"}).policy
        assert changed.lock_timeout == POLICIES[Environment.PRODUCTION].lock_timeout
        assert not changed.data_loss


class TestChoices:
    @pytest.mark.parametrize(
        "name", ["PARTMAN_ENV", "PARTMAN_LOG_FORMAT", "PARTMAN_PREFLIGHT", "PARTMAN_POOLING"]
    )
    def test_that_do_not_exist_are_refused_with_those_that_do(self, name: str) -> None:
        with pytest.raises(SettingsError, match=rf"^{name} is 'prod'; it must be one of: \w+, \w+"):
            Settings.load({name: "prod"})

    def test_log_format(self) -> None:
        assert Settings.load({}).log_format is LogFormat.HUMAN
        assert Settings.load({"PARTMAN_LOG_FORMAT": "json"}).log_format is LogFormat.JSON

    def test_pooling(self) -> None:
        assert Settings.load({}).pooling is Pooling.NONE
        assert Settings.load({"PARTMAN_POOLING": "transaction"}).pooling is Pooling.TRANSACTION

    @pytest.mark.parametrize(
        ("variables", "strict"),
        [
            ({}, False),
            (URL, True),
            ({"PARTMAN_PREFLIGHT": "stop"}, True),
            (URL | {"PARTMAN_PREFLIGHT": "warn"}, False),
        ],
    )
    def test_preflight(self, variables: dict[str, str], strict: bool) -> None:
        assert Settings.load(variables).policy.strict_preflight is strict


class TestDatabaseUrl:
    @pytest.mark.parametrize(
        "url", ["postgres://host/db", "postgresql://", "postgresql:///db?host=/run/postgresql"]
    )
    def test_is_kept_as_it_is(self, url: str) -> None:
        assert Settings.load({"DATABASE_URL": url}).database_url == url

    @pytest.mark.parametrize("url", ["mysql://host/db", "host/db", "postgresql+asyncpg://h/d"])
    def test_of_something_else_is_refused_and_not_repeated(self, url: str) -> None:
        with pytest.raises(SettingsError, match="DATABASE_URL must start with") as refused:
            Settings.load({"DATABASE_URL": url})
        assert url not in str(refused.value)


def test_migrations_that_may_lose_data_are_named() -> None:
    assert Settings.load({}).data_loss_in == frozenset()
    named = Settings.load({"PARTMAN_ALLOW_DATA_LOSS": " 2026-01 2026-02\n"})
    assert named.data_loss_in == {"2026-01", "2026-02"}


def test_the_embedded_server_is_in_the_checkout_unless_told_otherwise(tmp_path: Path) -> None:
    checkout = Path(__file__).parent.parent.parent
    assert Settings.load({}).data_directory == checkout / ".partman"
    output = Settings.load({"PARTMAN_DATA_DIR": str(tmp_path)})
    assert output.data_directory == tmp_path
    assert Settings.load({"PARTMAN_DATA_DIR": "x"}).data_directory == Path.cwd() / "x"


def test_a_wrong_setting_has_its_own_exit_code() -> None:
    assert SettingsError.exit_code is ExitCode.SETTINGS
