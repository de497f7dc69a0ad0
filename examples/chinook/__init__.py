"""A public sample database whose people, addresses, invoices and keys all change at once."""
