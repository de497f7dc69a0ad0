"""Random migrations beside a twin of the legacy table, to which the same statements are said."""
