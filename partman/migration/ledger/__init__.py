"""What was applied: migration files, Piccolo's ledger, the history, the lock."""
