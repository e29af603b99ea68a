"""Divide a database by tenant over the nodes of a Citus cluster, and bring it back."""
