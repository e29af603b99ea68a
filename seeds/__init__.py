"""Development data: believable, connected rows in all six tables.

``generate`` makes the rows and knows no database; ``load`` puts them in and takes them out;
``cli`` is the command. Nothing here runs by itself: data goes in when somebody types
``partman seed dev``, and only where ``PARTMAN_ENV`` is development.
"""
