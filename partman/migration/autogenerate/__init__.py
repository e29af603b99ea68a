"""Write the migrations that bring a database to the state of the table classes."""
