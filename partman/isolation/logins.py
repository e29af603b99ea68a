"""The logins that become the app role: what their sessions start with."""

SESSION = {
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "5s",
    # Enough for the bitmap of a large tenant's rows: see docs/tenancy.md, "What it costs".
    "work_mem": "16MB",
    "search_path": "public",
}
"""Settings of the roles ``api`` and ``console``; docker/roles.sql gives them the same."""


def let_log_in(role: str) -> str:
    """Return the statements that turn a role into a login of the application."""
    return "; ".join(
        [
            f"ALTER ROLE {role} LOGIN",
            *(f"ALTER ROLE {role} SET {name} = '{value}'" for name, value in SESSION.items()),
        ]
    )
