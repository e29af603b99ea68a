"""Accounts of people, as operators of the database manage them.

The product's accounts are rows of ``users``; the console's have a table of their own. So the right
to change a user in the product does not include the right to decide who signs in to the console.
"""
