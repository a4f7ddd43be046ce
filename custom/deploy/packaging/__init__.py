"""A bundle as an archive that needs nothing but the packages it declares."""
