"""Development data: realistic, related rows for all six tables.

``generate`` creates the rows without a database; ``load`` inserts and removes them; ``cli`` is the
command. Data is only inserted by ``partman seed dev``, and only if ``PARTMAN_ENV`` is development.
"""
