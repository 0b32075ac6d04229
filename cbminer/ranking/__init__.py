"""How probable each class is for a star, and how well models fit its light curve."""
