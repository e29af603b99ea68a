"""The console pages: rows, migrations, reports."""
