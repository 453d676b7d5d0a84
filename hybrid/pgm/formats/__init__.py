"""Networks in files: BIF, XMLBIF and UAI."""
