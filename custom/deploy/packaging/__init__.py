"""Package a bundle as an archive that needs only the packages it declares."""
