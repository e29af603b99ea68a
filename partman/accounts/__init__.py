"""Accounts of people, as far as the database's operators manage them.

Those of the product are rows of ``users``, those of the console have a table of their own: whoever
may change a user in the product must not thereby decide who signs in to the console.
"""
