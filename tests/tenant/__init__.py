"""tenant() as an application uses it: its traps, and the ways into it."""
