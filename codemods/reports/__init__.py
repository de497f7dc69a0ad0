"""Shows what was found: on a terminal, as JSON, SARIF and HTML, and as a log of the changes."""
