"""Reading: from a file, a folder, a pattern of names or a query to typed columns."""
