"""Synthetic light curves: the Roche engine, its judge PHOEBE, cadence and noise, and labelled libraries."""
