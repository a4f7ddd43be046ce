"""Write a result as a derived DICOM series."""
