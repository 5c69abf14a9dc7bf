"""Tables, pictures and mean curves of a sweep."""
