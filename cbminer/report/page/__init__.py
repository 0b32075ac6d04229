"""The report page: one HTML file with figures, the table of candidates and a vetting sheet a star."""
