"""``partman serve``: health, metrics and the console, over HTTP. Needs the extra ``serve``."""
