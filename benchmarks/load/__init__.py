"""Many clients of many organizations at once, against the example application."""
