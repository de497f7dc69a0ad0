"""One table, three versions of it at once: the example of the InVerDa paper. See README.md."""
