"""A run leaves the database as it was or as it should be, and says which."""
