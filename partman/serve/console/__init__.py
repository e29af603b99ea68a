"""What people see in the browser: rows, migrations, reports."""
