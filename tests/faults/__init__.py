"""Commands that are killed, and servers that crash, under clients that keep a ledger."""
