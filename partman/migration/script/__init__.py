"""Write migrations as a script for psql, for a database that partman may not connect to."""
